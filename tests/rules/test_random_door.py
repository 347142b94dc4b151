"""A real door with access rules against the oracle, in short; see `make rules-fuzz`."""

from __future__ import annotations

import pytest

from tests.rules.combined import run_door_steps
from tests.rules.mutants import DOOR_MUTANTS


def test_random_door_agrees_with_oracle() -> None:
    outcomes = run_door_steps(2000, seed=1)
    assert outcomes["allowed"] > 50 and outcomes["lockdown"] > 20
    assert {"already-inside", "not-inside", "zone-full", "other-person"} <= outcomes.keys()


@pytest.mark.parametrize(("replaced", "mutant"), DOOR_MUTANTS)
def test_broken_rules_at_a_door_are_caught(
    replaced: str, mutant: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaced, mutant)
    with pytest.raises(AssertionError, match="seed"):
        run_door_steps(2000, seed=1)
