"""A real door with access rules against the oracle, in short; see `make rules-fuzz`."""

from __future__ import annotations

import pytest

from edge.access.rules.engine import RulesEngine
from edge.access.rules.values import Allowed, DoorStatuses, Moment
from edge.door import zone_keeper
from edge.door.controller import Controller
from tests.rules.combined import run_door_steps


def test_random_door_agrees_with_oracle() -> None:
    outcomes = run_door_steps(2000, seed=1)
    assert outcomes["allowed"] > 50 and outcomes["lockdown"] > 20
    assert {"already-inside", "not-inside", "zone-full", "other-person"} <= outcomes.keys()


class ForgetsGrants(RulesEngine):
    """Does not note that the door was unlocked."""

    def granted(self, allowed: Allowed, moment: Moment, doors: DoorStatuses) -> None: ...


class IgnoresOpenings(RulesEngine):
    """Takes no passage from the contact."""

    def opened(self, door: str, moment: Moment) -> tuple[str, ...]:
        return ()


class ForgetsRelocks(RulesEngine):
    """Keeps grants without a passage for ever."""

    def relocked(self, door: str, at: float) -> None: ...


@pytest.mark.parametrize("mutant", [ForgetsGrants, IgnoresOpenings, ForgetsRelocks])
def test_broken_rules_at_a_door_are_caught(
    mutant: type[RulesEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zone_keeper, "RulesEngine", mutant)
    with pytest.raises(AssertionError, match="seed"):
        run_door_steps(2000, seed=1)


def test_lockdown_that_rules_overrule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Controller, "check", lambda *_: None)
    with pytest.raises(AssertionError, match="seed"):
        run_door_steps(2000, seed=1)
