from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.reasons import Reason
from edge.errors import EngineError
from edge.face.liveness import LivenessFrame, LivenessState, join_results
from edge.face.liveness.challenge import ChallengeAction, ChallengeLiveness
from edge.face.liveness.passive import PassiveLiveness
from edge.values import Face, LivenessResult, Pose

FRAME = np.zeros((48, 64, 3), np.uint8)
CHIP = np.zeros((112, 112, 3), np.uint8)
LIMIT_S = 4.0


def look(at: float, yaw: float = 0.0, size: float = 40.0) -> LivenessFrame:
    points = np.array([[-1, 0], [1, 0], [0, 0.5], [-0.7, 1], [0.7, 1]], np.float32) * size
    return LivenessFrame(
        at,
        FRAME,
        Face(np.array([0, 0, size, size], np.float32), points, 0.9),
        CHIP,
        Pose(yaw, 0.0, 0.0),
    )


def asked(action: ChallengeAction, **options: object) -> ChallengeLiveness:
    return ChallengeLiveness(limit_s=LIMIT_S, choose=lambda _: action, **options)


def show(
    challenge: ChallengeLiveness, begin: float, seconds: float, yaw: float = 0.0, size: float = 40.0
) -> LivenessResult:
    for i in range(round(seconds * 10)):
        challenge.observe(look(begin + i / 10, yaw, size))
    return challenge.result(begin + seconds, near_threshold=False)


@pytest.mark.parametrize(
    ("action", "yaw", "size"),
    [
        (ChallengeAction.TURN_LEFT, 35.0, 40.0),
        (ChallengeAction.TURN_RIGHT, -35.0, 40.0),
        (ChallengeAction.COME_CLOSER, 0.0, 60.0),
    ],
)
def test_challenge_passes_and_voids_earlier_votes(
    action: ChallengeAction, yaw: float, size: float
) -> None:
    challenge = asked(action)
    results = show(challenge, 0.0, 0.6)
    assert (results.state, results.reason) == (LivenessState.WAITING, action.value)
    results = show(challenge, 0.6, 0.6, yaw, size)
    if yaw:
        assert (results.state, results.reason) == (LivenessState.WAITING, "look-straight")
    results = show(challenge, 1.2, 0.6, size=size)
    assert results.state is LivenessState.PASSED and results.since > (1.1 if yaw else 0.6)


def test_the_wrong_side_and_no_answer_fail() -> None:
    challenge = asked(ChallengeAction.TURN_LEFT)
    show(challenge, 0.0, 0.6)
    assert show(challenge, 0.6, 0.6, -35.0) == LivenessResult(
        LivenessState.FAILED, "wrong-response"
    )
    challenge = asked(ChallengeAction.TURN_LEFT)
    show(challenge, 0.0, 0.6)
    assert show(challenge, 0.6, LIMIT_S + 0.5) == LivenessResult(
        LivenessState.FAILED, "no-response"
    )


def test_challenge_waits_for_an_uncertain_score() -> None:
    challenge = asked(ChallengeAction.TURN_LEFT, when="near_threshold")
    assert show(challenge, 0.0, 2.0).state is LivenessState.PASSED
    assert challenge.result(2.0, near_threshold=True).state is LivenessState.WAITING
    assert show(challenge, 2.0, 0.6).reason == "turn-left"
    demanded = asked(ChallengeAction.TURN_LEFT, when=lambda: True)
    assert demanded.result(0.0, near_threshold=False).reason == "look-straight"


@given(
    st.lists(
        st.tuples(st.floats(0.02, 0.4), st.sampled_from([-40.0, -5.0, 0.0, 5.0, 40.0])), max_size=80
    )
)
def test_challenge_fails_without_turn_and_return(
    stream: list[tuple[float, float]],
) -> None:
    challenge, at = asked(ChallengeAction.TURN_LEFT), 0.0
    seen: list[tuple[float, float]] = []
    before: LivenessState | None = None
    for gap, yaw in stream:
        at += gap
        challenge.observe(look(at, yaw))
        seen.append((at, yaw))
        results = challenge.result(at, near_threshold=False)
        if results.state is LivenessState.PASSED:
            turned = [t for t, y in seen if y == 40.0 and t < results.since]
            back = [t for t, y in seen if abs(y) <= 5.0 and t >= results.since]
            assert len(turned) >= 3 and len(back) >= 3
            assert (
                len([t for t, y in seen if abs(y) <= 5.0 and t < turned[-3]]) >= 3
            )  # straight, before the turn was requested
        if before in (LivenessState.PASSED, LivenessState.FAILED):
            assert results.state is before  # one challenge per track
        before = results.state


def test_layers_are_joined_by_and() -> None:
    passed, waiting, failed = (
        LivenessResult(LivenessState.PASSED, since=3.0),
        LivenessResult(LivenessState.WAITING, Reason.TURN_LEFT),
        LivenessResult(LivenessState.FAILED, Reason.FROZEN),
    )
    assert (
        join_results({}) == LivenessResult(LivenessState.PASSED)
        and join_results({}).since == -math.inf
    )
    assert (
        join_results({"a": passed, "b": LivenessResult(LivenessState.PASSED, since=5.0)}).since
        == 5.0
    )
    assert join_results({"a": passed, "b": waiting}).reason == "turn-left"
    assert join_results({"a": waiting, "b": failed, "c": passed}) == failed


class Scripted:
    def __init__(self, *living: float) -> None:
        self.living = list(living)

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"living": np.array([self.living.pop(0)], np.float32)}

    def close(self) -> None: ...


def test_passive_uses_the_mean_of_one_second() -> None:
    layer = PassiveLiveness(Scripted(0.9, 0.8, 0.2, 0.1, 0.1, 0.1), 0.6)
    states = []
    for i in range(6):
        layer.observe(look(i * 0.3))
        states.append(layer.result(i * 0.3, near_threshold=False).state)
    assert (
        states[:3] == [LivenessState.WAITING, LivenessState.WAITING, LivenessState.PASSED]
        and states[-1] is LivenessState.FAILED
    )
    with pytest.raises(EngineError, match="expected one probability"):
        PassiveLiveness(Scripted(2.0), 0.5).observe(look(0.0))
