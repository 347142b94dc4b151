"""Layer `challenge`: the person must turn or come closer, then look straight again.

The action is drawn at random. Turns are measured by the parallax of the nose
(`edge.face.quality.estimate_pose`), so a flat photo that is turned does not pass. Anything that
comes closer passes `come-closer`: it separates a person from a photo only together with the layer
`motion`. A video that happens to show the action passes, and so does an attacker who plays a
matching video on demand.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from statistics import median
from typing import Literal

import numpy as np

from edge.access.reasons import Reason
from edge.face.liveness import LivenessFrame, LivenessResult, LivenessState

_STRAIGHT_DEG = 15.0
_TURN_DEG = 20.0  # from the yaw at the request
_CLOSER = 1.25  # times the size at the request
_FRAMES, _HELD_S = 3, 0.2  # consecutive frames, and their duration, that count as a pose


class ChallengeAction(str, Enum):
    """Requested action; left and right are the person's own."""

    TURN_LEFT = "turn-left"
    TURN_RIGHT = "turn-right"
    COME_CLOSER = "come-closer"


class _Stage(Enum):
    BEFORE = "before"  # the person has not looked straight yet
    ASKED = "asked"
    DONE = "done"  # the person must look straight again
    PASSED = "passed"
    FAILED = "failed"


class ChallengeLiveness:
    """Challenge for one track, requested always, near the threshold, or if a call demands it.

    `limit_s`: from the request until the person looks straight again. `choose` draws the action.
    """

    name = "challenge"

    def __init__(
        self,
        *,
        when: Literal["always", "near_threshold"] | Callable[[], bool] = "always",
        limit_s: float = 8.0,
        actions: Sequence[ChallengeAction] = tuple(ChallengeAction),
        choose: Callable[[Sequence[ChallengeAction]], ChallengeAction] = secrets.choice,
    ) -> None:
        self._when, self._limit_s = when, limit_s
        self._action = choose(actions)
        self._demanded = when == "always"
        self._stage = _Stage.BEFORE
        self._reason: Reason | None = Reason.LOOK_STRAIGHT
        # Time, yaw in degrees, size in pixels
        self._last: deque[tuple[float, float, float]] = deque()
        self._asked_at = self._since = -math.inf
        self._yaw_before = self._size_before = 0.0  # at the request

    def observe(self, frame: LivenessFrame) -> None:
        self._expire(frame.at)
        if not self._demanded or self._stage in (_Stage.PASSED, _Stage.FAILED):
            return
        self._last.append((frame.at, frame.pose.yaw, _size(frame)))
        while len(self._last) > _FRAMES and frame.at - self._last[1][0] >= _HELD_S:
            self._last.popleft()
        if len(self._last) < _FRAMES or frame.at - self._last[0][0] < _HELD_S:
            return
        if self._stage is _Stage.BEFORE and self._all_straight():
            self._yaw_before = median(yaw for _, yaw, _ in self._last)
            self._size_before = median(size for _, _, size in self._last)
            self._asked_at = frame.at
            self._go(_Stage.ASKED, Reason(self._action.value))
        elif self._stage is _Stage.ASKED and self._all(self._action):
            self._go(_Stage.DONE, Reason.LOOK_STRAIGHT)
        elif self._stage is _Stage.ASKED and any(
            self._all(turn) for turn in (ChallengeAction.TURN_LEFT, ChallengeAction.TURN_RIGHT)
        ):
            self._go(_Stage.FAILED, Reason.WRONG_RESPONSE)
        elif self._stage is _Stage.DONE and self._all_straight():
            self._since = self._last[0][0]
            self._go(_Stage.PASSED, None)

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        self._expire(at)
        self._demanded = self._demanded or (
            near_threshold
            if self._when == "near_threshold"
            else callable(self._when) and self._when()
        )
        if not self._demanded or self._stage is _Stage.PASSED:
            return LivenessResult(LivenessState.PASSED, since=self._since)
        return LivenessResult(
            LivenessState.FAILED if self._stage is _Stage.FAILED else LivenessState.WAITING,
            self._reason,
        )

    def _expire(self, at: float) -> None:
        if self._stage in (_Stage.ASKED, _Stage.DONE) and at - self._asked_at > self._limit_s:
            self._go(_Stage.FAILED, Reason.NO_RESPONSE)

    def _go(self, stage: _Stage, reason: Reason | None) -> None:
        self._stage, self._reason = stage, reason
        self._last.clear()

    def _all_straight(self) -> bool:
        return all(abs(yaw) <= _STRAIGHT_DEG for _, yaw, _ in self._last)

    def _all(self, action: ChallengeAction) -> bool:
        """Return True if all of the last frames show an action."""
        if action is ChallengeAction.COME_CLOSER:
            return all(size >= _CLOSER * self._size_before for _, _, size in self._last)
        # A person's left is the picture's right, where yaw is positive.
        side = 1 if action is ChallengeAction.TURN_LEFT else -1
        return all(side * (yaw - self._yaw_before) >= _TURN_DEG for _, yaw, _ in self._last)


def _size(frame: LivenessFrame) -> float:
    """Return the distance from eyes to mouth in pixels; a turn to a side does not change it."""
    points = frame.face.landmarks_xy
    return float(np.linalg.norm(points[:2].mean(axis=0) - points[3:].mean(axis=0)))
