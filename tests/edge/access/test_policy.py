from __future__ import annotations

import math

import pytest

from edge.access.policy import MaskPolicy, Rules, judge, threshold_for, unsure, votes_for
from edge.values import Match, Thresholds, Verdict

RULES = Rules(Thresholds(unmasked=0.5, masked=0.6), votes=3, window_s=1.0, margin=0.05, cooldown_s=4.0)
BARE, WORN, UNCLEAR = 0.0, 1.0, 0.5


def test_the_mask_state_chooses_threshold_and_votes() -> None:
    assert threshold_for(BARE, RULES.thresholds) == 0.5 and votes_for(BARE, RULES) == 3
    assert threshold_for(WORN, RULES.thresholds) == 0.6 and votes_for(WORN, RULES) == 5
    for unclear in (UNCLEAR, math.nan):
        assert threshold_for(unclear, RULES.thresholds) == 0.6 and votes_for(unclear, RULES) == 5
    assert threshold_for(UNCLEAR, Thresholds(unmasked=0.7, masked=0.6)) == 0.7


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (None, "gallery-empty"),
        (Match("Ada", 0.49, 0.1), "below-threshold"),
        (Match("Ada", math.nan, 0.1), "below-threshold"),
        (Match("Ada", 0.6, 0.56), "ambiguous"),
        (Match("Ada", 0.6, math.nan), "ambiguous"),
    ],
)
def test_unknown_has_a_reason(match: Match | None, reason: str) -> None:
    decision = judge(match, BARE, RULES, at=1.0)
    assert decision.verdict is Verdict.UNKNOWN and decision.reason == reason


@pytest.mark.parametrize(
    ("mask", "bare", "worn", "unclear"),
    [
        ("ignore", None, None, None),
        ("require", "mask-required", None, "mask-required"),
        ("require-soft", None, None, None),
        ("forbid", None, "mask-forbidden", "mask-forbidden"),
        ("ask", None, None, None),
    ],
)
def test_masks_are_what_the_operator_says(mask: MaskPolicy, bare: str | None, worn: str | None, unclear: str | None) -> None:
    rules = Rules(RULES.thresholds, votes=3, window_s=1.0, margin=0.05, cooldown_s=4.0, mask=mask)
    for mask_worn, refused in ((BARE, bare), (WORN, worn), (UNCLEAR, unclear)):
        decision = judge(Match("Ada", 0.9, 0.1), mask_worn, rules, at=1.0)
        assert decision.verdict is (Verdict.REFUSED if refused else Verdict.PENDING)
        assert decision.reason == (refused or "more-frames-needed")


def test_a_mask_is_asked_down_only_where_it_may_help() -> None:
    rules = Rules(RULES.thresholds, votes=3, window_s=1.0, margin=0.05, cooldown_s=4.0, mask="ask", span=0.1)
    assert judge(Match("Ada", 0.55, 0.1), WORN, rules, 1.0).reason == "lower-mask"
    assert judge(Match("Ada", 0.45, 0.1), WORN, rules, 1.0).reason == "below-threshold"  # too far away
    assert judge(Match("Ada", 0.55, 0.52), WORN, rules, 1.0).reason == "below-threshold"  # could be two people
    assert judge(Match("Ada", 0.45, 0.1), BARE, rules, 1.0).reason == "below-threshold"  # nothing to lower
    assert judge(Match("Ada", 0.55, 0.1), WORN, RULES, 1.0).reason == "below-threshold"  # not asked for


def test_a_score_in_between_is_unsure() -> None:
    assert unsure(judge(Match("Ada", 0.55, 0.1), BARE, RULES, 1.0), RULES)
    assert not unsure(judge(Match("Ada", 0.65, 0.1), BARE, RULES, 1.0), RULES)
    assert not unsure(judge(None, BARE, RULES, 1.0), RULES)
