from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.policy import Rules, Votes, judge, threshold_for
from edge.values import Match, Thresholds, Verdict

RULES = Rules(Thresholds(unmasked=0.5, masked=0.6), votes=3, window_s=1.0, margin=0.05, cooldown_s=4.0)
SURE = Match("Ada", 0.9, 0.1)


def test_the_mask_state_chooses_the_threshold() -> None:
    assert threshold_for(0.0, RULES.thresholds) == 0.5
    assert threshold_for(1.0, RULES.thresholds) == 0.6
    assert threshold_for(0.5, RULES.thresholds) == 0.6
    assert threshold_for(0.5, Thresholds(unmasked=0.7, masked=0.6)) == 0.7


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (None, "gallery-empty"),
        (Match("Ada", 0.49, 0.1), "below-threshold"),
        (Match("Ada", math.nan, 0.1), "below-threshold"),
        (Match("Ada", 0.6, 0.56), "ambiguous"),
    ],
)
def test_unknown_has_a_reason(match: Match | None, reason: str) -> None:
    decision = judge(match, 0.0, RULES, at=1.0)
    assert decision.verdict is Verdict.UNKNOWN and decision.reason == reason


frames = st.lists(
    st.tuples(st.floats(0, 0.6), st.sampled_from(["Ada", "Grace"]), st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1)),
    max_size=60,
)


@given(frames)
def test_no_grant_without_enough_recent_frames_above_the_threshold(
    stream: list[tuple[float, str, float, float, float]],
) -> None:
    votes, now = Votes(RULES), 0.0
    counted: list[tuple[float, str]] = []
    granted: dict[str, float] = {}
    for gap, subject, score, runner_up, mask_worn in stream:
        now += gap
        decision = votes.count(judge(Match(subject, score, runner_up), mask_worn, RULES, now))
        above = score >= threshold_for(mask_worn, RULES.thresholds) and score - runner_up >= RULES.margin
        if above:
            counted.append((now, subject))
        if decision.verdict is Verdict.GRANT:
            assert above and decision.match is not None and decision.match.subject == subject
            recent = {at for at, name in counted if name == subject and now - at <= RULES.window_s}
            assert len(recent) >= RULES.votes
            assert now - granted.get(subject, -math.inf) >= RULES.cooldown_s
            granted[subject] = now
        elif decision.verdict is Verdict.UNKNOWN:
            assert not above


def test_three_frames_open_and_a_cooldown_follows() -> None:
    votes = Votes(RULES)
    verdicts = [votes.count(judge(SURE, 0.0, RULES, at=t / 10)) for t in range(6)]
    assert [d.verdict for d in verdicts[:3]] == [Verdict.PENDING, Verdict.PENDING, Verdict.GRANT]
    assert {d.reason for d in verdicts[3:]} == {"cooldown"}


def test_frames_too_far_apart_never_open() -> None:
    votes = Votes(RULES)
    assert all(votes.count(judge(SURE, 0.0, RULES, at=t * 0.6)).verdict is Verdict.PENDING for t in range(20))


def test_two_faces_in_one_frame_are_one_vote() -> None:
    votes = Votes(RULES)
    for t in (0.0, 0.1):
        for _ in range(3):
            assert votes.count(judge(SURE, 0.0, RULES, at=t)).verdict is Verdict.PENDING


def test_a_door_that_did_not_open_costs_no_cooldown() -> None:
    votes = Votes(RULES)
    for t in range(3):
        granted = votes.count(judge(SURE, 0.0, RULES, at=t / 10))
    assert granted.verdict is Verdict.GRANT
    votes.withdraw("Ada", again_after_s=1.0)
    assert votes.count(judge(SURE, 0.0, RULES, at=1.1)).reason == "cooldown"
    again = [votes.count(judge(SURE, 0.0, RULES, at=1.3 + t / 10)).verdict for t in range(3)]
    assert again == [Verdict.PENDING, Verdict.PENDING, Verdict.GRANT]
