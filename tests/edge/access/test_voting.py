from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.policy import decide_frame, min_votes_for, threshold_for
from edge.access.reasons import Reason
from edge.access.voting import Voting
from edge.values import Decision, LivenessResult, LivenessState, Match, Thresholds, Verdict
from tests.builders import make_rules

RULES = make_rules(Thresholds(unmasked=0.5, masked=0.6), decision_timeout_s=5.0)
ADA, EVE = Match("Ada", 0.9, 0.1), Match("Eve", 0.9, 0.1)
ALIVE = LivenessResult(LivenessState.PASSED)


def vote(
    voting: Voting,
    at: float,
    match: Match | None = ADA,
    *,
    track: int = 1,
    mask: float = 0.0,
    weight: float = 1.0,
    alive: LivenessResult = ALIVE,
) -> Decision:
    return voting.add_frame(track, decide_frame(match, mask, RULES, at), weight, alive)


def run(voting: Voting, times: list[float], **options: Any) -> list[str]:
    return [vote(voting, at, **options).verdict.value for at in times]


def test_three_frames_open_and_a_cooldown_follows() -> None:
    voting = Voting(RULES)
    assert run(voting, [0.0, 0.1, 0.2]) == ["pending", "pending", "grant"]
    assert voting.is_decided(1, 0.3) and not voting.is_decided(2, 0.3)
    assert {vote(voting, at, track=track).reason for at in (0.3, 4.1) for track in (1, 2)} == {
        "cooldown"
    }
    assert run(voting, [4.3, 4.4, 4.5]) == ["pending", "pending", "grant"]


def test_a_mask_takes_more_frames() -> None:
    assert run(Voting(RULES), [0.0, 0.1, 0.2, 0.3, 0.4], mask=1.0) == ["pending"] * 4 + ["grant"]
    assert run(Voting(RULES), [0.0, 0.1, 0.2, 0.3, 0.4], mask=0.5) == ["pending"] * 4 + ["grant"]


def test_poor_faces_take_more_frames() -> None:
    verdicts = run(Voting(RULES), [i / 20 for i in range(12)], weight=0.1)
    assert verdicts.index("grant") == 10  # 11 * 0.1 is the weight of three full votes


@pytest.mark.parametrize(
    ("weight", "shares"), [(1.0, [1 / 3, 2 / 3, 1.0]), (0.1, [0.1 / 1.05, 0.2 / 1.05, 0.3 / 1.05])]
)
def test_progress_counts_votes_by_weight(weight: float, shares: list[float]) -> None:
    voting = Voting(RULES)
    found = [vote(voting, at / 10, weight=weight).progress for at in range(3)]
    assert found == pytest.approx(shares)
    assert vote(voting, 0.3, match=None).progress == 0


def test_frames_too_far_apart_never_open() -> None:
    assert "grant" not in run(Voting(RULES), [0.6 * i for i in range(8)])


def test_frames_of_two_tracks_are_not_added_up() -> None:
    voting = Voting(RULES)
    assert all(vote(voting, 0.1 * i, track=i % 2).verdict is Verdict.PENDING for i in range(4))


def test_voting_tolerates_one_bad_frame_not_half() -> None:
    voting = Voting(RULES)
    seen = [
        vote(voting, at, match).verdict.value
        for at, match in zip((0.0, 0.1, 0.2, 0.3), (ADA, None, ADA, ADA), strict=True)
    ]
    assert seen == ["pending", "unknown", "pending", "grant"]
    voting = Voting(RULES)
    assert "grant" not in [
        vote(voting, 0.05 * i, (ADA, EVE)[i % 2]).verdict.value for i in range(12)
    ]


def test_voting_timeout_is_unknown_for_a_while() -> None:
    voting = Voting(RULES)
    for i in range(26):
        vote(voting, 0.2 * i, None)
    results = vote(voting, 5.1, None)
    assert (results.verdict, results.reason) == (
        Verdict.UNKNOWN,
        "decision-timeout",
    ) and voting.is_decided(1, 5.2)
    assert vote(voting, 6.0).reason == "decision-timeout"
    assert run(voting, [9.2, 9.3, 9.4])[-1] == "grant"


def test_voting_follows_the_liveness_result() -> None:
    assert [
        vote(Voting(RULES), 0.0, alive=LivenessResult(LivenessState.FAILED, Reason.FROZEN)).reason
    ] == ["frozen"]
    voting = Voting(RULES)
    waiting = LivenessResult(LivenessState.WAITING, Reason.TURN_LEFT)
    assert [vote(voting, i / 10, alive=waiting).reason for i in range(4)][-1] == "turn-left"
    after = LivenessResult(LivenessState.PASSED, since=0.35)
    assert [vote(voting, 0.4 + i / 10, alive=after).verdict.value for i in range(3)] == [
        "pending",
        "pending",
        "grant",
    ]


def test_revoked_grant_shortens_the_cooldown() -> None:
    voting = Voting(RULES)
    run(voting, [0.0, 0.1, 0.2])
    voting.revoke_grant(1, "Ada", retry_s=1.0)
    assert vote(voting, 1.1).reason == "cooldown"
    assert run(voting, [1.3, 1.4, 1.5]) == ["pending", "pending", "grant"]


def test_a_soft_demand_for_masks_is_on_record() -> None:
    voting = Voting(replace(RULES, mask="warn"))
    assert [vote(voting, i / 10).reason for i in range(3)][-1] == "match-without-mask"


def test_lost_tracks_are_forgotten() -> None:
    voting = Voting(RULES)
    run(voting, [0.0, 0.1])
    voting.retain_tracks([2], 0.15)
    assert run(voting, [0.2]) == ["pending"]


frames = st.lists(
    st.tuples(
        st.floats(0, 0.6),
        st.integers(1, 2),
        st.sampled_from(["Ada", "Eve"]),
        st.floats(-1, 1),
        st.floats(-1, 1),
        st.floats(0, 1),
        st.floats(0, 1),
        st.sampled_from(
            [
                ALIVE,
                ALIVE,
                LivenessResult(LivenessState.WAITING, Reason.CHECKING),
                LivenessResult(LivenessState.FAILED, Reason.SCREEN),
            ]
        ),
    ),
    max_size=60,
)


@given(frames)
def test_no_grant_without_what_it_takes(
    stream: list[tuple[float, int, str, float, float, float, float, LivenessResult]],
) -> None:
    voting, now = Voting(RULES), 0.0
    good: list[tuple[float, int, str]] = []
    granted: dict[str, float] = {}
    for gap, track, subject, score, runner_up, mask, weight, alive in stream:
        now += gap
        decision = voting.add_frame(
            track, decide_frame(Match(subject, score, runner_up), mask, RULES, now), weight, alive
        )
        above = score >= threshold_for(mask, RULES.thresholds) and score - runner_up >= RULES.margin
        if above:
            good.append((now, track, subject))
        assert decision.reason
        if decision.verdict is Verdict.GRANT:
            assert (
                above
                and alive.state is LivenessState.PASSED
                and decision.match is not None
                and decision.match.subject == subject
            )
            agreeing = {
                at
                for at, t, name in good
                if (t, name) == (track, subject) and now - at <= RULES.window_s
            }
            assert len(agreeing) >= min_votes_for(mask, RULES)
            assert now - granted.get(subject, -math.inf) >= RULES.cooldown_s
            granted[subject] = now


@given(st.permutations(range(4)), st.integers(1, 4))
def test_voting_ignores_order_within_a_frame(order: list[int], frames: int) -> None:
    def grants(of: list[int]) -> set[str]:
        voting = Voting(RULES)
        found = set()
        for frame, face in itertools.product(range(frames), of):
            match = (ADA, EVE, Match("Ida", 0.3, 0.1), None)[face]
            decision = vote(voting, frame / 10, match, track=face)
            if decision.verdict is Verdict.GRANT and decision.match:
                found.add(decision.match.subject)
        return found

    assert grants(order) == grants([0, 1, 2, 3])


@pytest.mark.parametrize("order", [(ADA, EVE), (EVE, ADA)])
def test_voting_two_subjects_at_once_cancel(order: tuple[Match, Match]) -> None:
    voting = Voting(RULES)
    for at in (0.0, 0.1, 0.2):
        for match in order:
            assert vote(voting, at, match).verdict is not Verdict.GRANT
