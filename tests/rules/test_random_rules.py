"""Access rules against the oracle, in short; `make rules-fuzz` runs 100,000 steps."""

from __future__ import annotations

import pytest

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.engine import RulesEngine
from tests.rules.mutants import MUTANTS
from tests.rules.world import run_steps

ELSEWHERE = {RuleRefusal.UNKNOWN_LANE}  # tested in tests/edge/access/rules/test_engine.py


def test_random_steps_agree_with_oracle() -> None:
    outcomes = run_steps(6000, seed=1)
    assert outcomes["allowed"] > 100 and outcomes["waiting"] > 100
    assert {code.value for code in RuleRefusal if code not in ELSEWHERE} <= outcomes.keys()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_engine_is_caught(mutant: type[RulesEngine]) -> None:
    with pytest.raises(AssertionError, match="seed"):
        run_steps(20_000, seed=1, make=mutant)
