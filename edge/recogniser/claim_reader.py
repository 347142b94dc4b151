"""Claim of the next face: the person whose card or PIN waits, as the door process reports."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge.door.client import DoorClient
from edge.errors import DoorError
from edge.recogniser.decision_log import LogThrottle

_INTERVAL_S = 0.1
_PAUSE_S = 5.0  # after a request without an answer, which delays a frame


class ClaimReader:
    """Requests the claim at most ten times a second; never if no reader is at the lane."""

    def __init__(
        self,
        door: DoorClient,
        throttle: LogThrottle,
        clock: Callable[[], float],
        *,
        lane: str,
        has_readers: bool,
    ) -> None:
        self._door, self._throttle, self._clock = door, throttle, clock
        self._lane = lane
        self._next_at = -math.inf if has_readers else math.inf
        self._person: str | None = None

    def read(self) -> str | None:
        """Return the person, None if no card or PIN waits or the door does not answer."""
        now = self._clock()
        if now >= self._next_at:
            self._next_at = now + _INTERVAL_S
            try:
                self._person = self._door.claim(self._lane)
            except DoorError as error:
                self._person, self._next_at = None, now + _PAUSE_S
                self._throttle.error("door", str(error))
        return self._person
