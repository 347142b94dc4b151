from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.messages import describe_thresholds
from edge.access.policy import (
    MaskPolicy,
    decide_frame,
    is_near_threshold,
    min_votes_for,
    threshold_for,
)
from edge.access.thresholds import ThresholdScaling
from edge.values import Match, Thresholds, Verdict
from tests.builders import make_rules

RULES = make_rules(Thresholds(unmasked=0.5, masked=0.6))
BARE, WORN, UNCLEAR = 0.0, 1.0, 0.5


def test_mask_state_selects_threshold_and_votes() -> None:
    assert threshold_for(BARE, RULES.thresholds) == 0.5 and min_votes_for(BARE, RULES) == 3
    assert threshold_for(WORN, RULES.thresholds) == 0.6 and min_votes_for(WORN, RULES) == 5
    for unclear in (UNCLEAR, math.nan):
        assert (
            threshold_for(unclear, RULES.thresholds) == 0.6 and min_votes_for(unclear, RULES) == 5
        )
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
    decision = decide_frame(match, BARE, RULES, at=1.0)
    assert decision.verdict is Verdict.UNKNOWN and decision.reason == reason


@pytest.mark.parametrize(
    ("mask", "bare", "worn", "unclear"),
    [
        ("ignore", None, None, None),
        ("require", "mask-required", None, "mask-required"),
        ("warn", None, None, None),
        ("forbid", None, "mask-forbidden", "mask-forbidden"),
        ("ask", None, None, None),
    ],
)
def test_masks_are_what_the_operator_says(
    mask: MaskPolicy, bare: str | None, worn: str | None, unclear: str | None
) -> None:
    rules = make_rules(
        RULES.thresholds, min_votes=3, window_s=1.0, margin=0.05, cooldown_s=4.0, mask=mask
    )
    for mask_worn, refused in ((BARE, bare), (WORN, worn), (UNCLEAR, unclear)):
        decision = decide_frame(Match("Ada", 0.9, 0.1), mask_worn, rules, at=1.0)
        assert decision.verdict is (Verdict.REFUSED if refused else Verdict.PENDING)
        assert decision.reason == (refused or "insufficient-votes")


def test_mask_lowering_requested_near_threshold() -> None:
    rules = make_rules(
        RULES.thresholds,
        min_votes=3,
        window_s=1.0,
        margin=0.05,
        cooldown_s=4.0,
        mask="ask",
        uncertainty_band=0.1,
    )
    assert decide_frame(Match("Ada", 0.55, 0.1), WORN, rules, 1.0).reason == "lower-mask"
    assert (
        decide_frame(Match("Ada", 0.45, 0.1), WORN, rules, 1.0).reason == "below-threshold"
    )  # too far away
    assert (
        decide_frame(Match("Ada", 0.55, 0.52), WORN, rules, 1.0).reason == "below-threshold"
    )  # could be two people
    assert (
        decide_frame(Match("Ada", 0.45, 0.1), BARE, rules, 1.0).reason == "below-threshold"
    )  # nothing to lower
    assert (
        decide_frame(Match("Ada", 0.55, 0.1), WORN, RULES, 1.0).reason == "below-threshold"
    )  # not configured


def test_a_score_in_between_is_unsure() -> None:
    assert is_near_threshold(decide_frame(Match("Ada", 0.55, 0.1), BARE, RULES, 1.0), RULES)
    assert not is_near_threshold(decide_frame(Match("Ada", 0.65, 0.1), BARE, RULES, 1.0), RULES)
    assert not is_near_threshold(decide_frame(None, BARE, RULES, 1.0), RULES)


scores = st.floats(-0.5, 0.95)
scalings = st.builds(
    ThresholdScaling,
    base=st.builds(Thresholds, scores, scores),
    supported_templates=st.integers(0, 10_000),
    score_per_decade=st.floats(0.01, 0.5),
    fmr=st.floats(1e-9, 1e-2),
)
sizes = st.integers(0, 10**9)


@given(scaling=scalings, raised=st.floats(0, 0.5), sizes=st.tuples(sizes, sizes))
def test_thresholds_only_rise_with_the_gallery(
    scaling: ThresholdScaling, raised: float, sizes: tuple[int, int]
) -> None:
    own = scaling.base
    rules = replace(
        RULES, thresholds=Thresholds(own.unmasked + raised, own.masked), scaling=scaling
    )
    small, large = (rules.for_size(size).thresholds for size in sorted(sizes))
    for base, before, after in zip(
        (rules.thresholds.unmasked, own.masked),
        (small.unmasked, small.masked),
        (large.unmasked, large.masked),
        strict=True,
    ):
        assert base <= before <= after
        assert after <= max(base, 1.0)
    assert rules.for_size(min(*sizes, scaling.supported_templates)) is rules


@given(
    base=st.builds(Thresholds, scores, scores),
    score_per_decade=st.floats(0.01, 0.5),
    fmr=st.floats(1e-9, 1e-2),
    size=st.integers(1, 10**7),
)
def test_fpir_holds_beyond_the_supported_size(
    base: Thresholds, score_per_decade: float, fmr: float, size: int
) -> None:
    target = 0.01
    supported = int(math.log1p(-target) / math.log1p(-fmr))
    scaling = ThresholdScaling(base, supported, score_per_decade, fmr)
    rules = replace(RULES, thresholds=base, scaling=scaling)
    thresholds = rules.for_size(size).thresholds
    wrong = scaling.fpir(thresholds, size)
    if supported and max(thresholds.unmasked, thresholds.masked) < 1:
        assert wrong <= target * (1 + 1e-6)
    if size <= supported:
        assert wrong == pytest.approx(1 - (1 - fmr) ** size, rel=1e-6)


def test_ten_times_templates_need_a_tenth_fmr() -> None:
    scaling = ThresholdScaling(Thresholds(0.5, 0.45), 100, 0.09, 1e-4)
    rules = replace(RULES, thresholds=scaling.base, scaling=scaling)
    assert rules.for_size(1000).thresholds == Thresholds(pytest.approx(0.59), pytest.approx(0.54))
    assert scaling.fpir(scaling.base, 100) == pytest.approx(1 - (1 - 1e-4) ** 100)
    large = rules.for_size(1000).thresholds
    assert scaling.fpir(large, 1000) == pytest.approx(0.00995, abs=1e-5)
    raised = replace(rules, thresholds=Thresholds(0.55, 0.58))  # raised by the operator
    assert raised.for_size(1000).thresholds == Thresholds(pytest.approx(0.59), 0.58)
    assert describe_thresholds(rules, 1000) == (
        "thresholds 0.590 unmasked, 0.540 masked for 1,000 templates (raised from 0.500 and "
        "0.450); "
        "false-positive identification rate per frame (FPIR) at most 0.995 %"
    )
    assert describe_thresholds(rules, 0).endswith("masked for 0 templates")
    assert "masked for 1 template;" in describe_thresholds(rules, 1)


def test_thresholds_without_scaling_are_constant() -> None:
    assert RULES.for_size(10**6) is RULES
    assert (
        describe_thresholds(RULES, 5) == "thresholds 0.500 unmasked, 0.600 masked for 5 templates"
    )
