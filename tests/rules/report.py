"""Page of `make rules-fuzz`: outcomes of the random steps, and the controls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from edge.system.markdown import format_table
from tests.rules.combined import run_door_steps
from tests.rules.mutants import DOOR_MUTANTS, MUTANTS
from tests.rules.steps import WORLD_STEPS
from tests.rules.world import run_steps

_STEPS_MAX, _DOOR_STEPS_MAX = 20_000, 2000  # of a control
_HEAD = """\
# Access rules in random steps

Measured by `make rules-fuzz`: random requests, passages, resets, restarts, power cuts, unreadable
states and jumps of the clock. Each answer of the rules is compared with an oracle that shares no
code with them. As many steps of a door with rules, controller, contact, REX, fire and lockdown are
compared with the oracle and with the reasons to unlock, and as many of two door processes that
share zones with the oracle.

"""
_CONTROLS = """
## Controls

The same with {count} classes of tests/rules/mutants.py that are broken on purpose. The comparison
must find each.

"""


def render_page(steps: int, outcomes: Counter[str]) -> str:
    """Return the page of a run without a violation. Runs the controls."""
    counted = [[f"`{outcome}`", f"{times:,}"] for outcome, times in outcomes.most_common()]
    controls = list(run_controls())
    return (
        f"{_HEAD}{steps:,} steps of each: no violation.\n\n"
        + format_table(["outcome of a step", "times"], counted)
        + _CONTROLS.format(count=len(controls))
        + format_table(["broken class", "error", "found after steps"], controls)
    )


def run_controls() -> Iterator[tuple[str, str, str]]:
    """Yield name, error and number of steps of each control."""
    for mutant in MUTANTS:
        found = _find(partial(run_steps, _STEPS_MAX, seed=1, make=mutant))
        yield _row(mutant, found)
    for replaced, other in DOOR_MUTANTS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replaced, other)
            yield _row(other, _find(partial(run_door_steps, _DOOR_STEPS_MAX, seed=1)))


def _row(broken: type, found: int | None) -> tuple[str, str, str]:
    return broken.__name__, str(broken.__doc__), "NOT FOUND" if found is None else f"{found:,}"


def _find(run: Callable[[], object]) -> int | None:
    """Return the number of steps until a violation."""
    try:
        run()
    except AssertionError as error:
        place = re.search(r"seed (\d+), step (\d+)", str(error))
        assert place is not None
        return (int(place[1]) - 1) * WORLD_STEPS + int(place[2]) + 1
    return None
