"""The lock's rules as a pure state machine: rest is locked, a grant opens for one pulse, nothing else does.

Time is an argument (monotonic seconds), hardware and records are the service's. Inputs (exit button, fire, contacts)
and operator states will be further reasons beside the grant, in the order fire > exit > operator > schedule > grant.
"""

from __future__ import annotations

from collections import deque

from edge.values import Grant

MAX_GRANT_AGE_S = 1.0
_REMEMBERED_GRANTS = 256


class Controller:
    """One lock. `energised` is what the relay must be; the service makes it so."""

    def __init__(self, pulse_s: float) -> None:
        self._pulse_s = pulse_s
        self._until: float | None = None
        self._recent: deque[str] = deque(maxlen=_REMEMBERED_GRANTS)

    @property
    def energised(self) -> bool:
        return self._until is not None

    @property
    def until(self) -> float | None:
        """When the lock closes by itself; None while it is locked."""
        return self._until

    def check(self, grant: Grant, now: float) -> str | None:
        """Why a grant must be refused now, None where it may open the lock."""
        age = now - grant.frame_at
        if not -0.05 <= age <= MAX_GRANT_AGE_S:  # also refuses a time that is not a number
            return "stale"
        if grant.id in self._recent:
            return "replayed"
        return None

    def open(self, grant: Grant, now: float) -> None:
        """Open for one pulse from now on; the caller has checked and recorded the grant."""
        self._recent.append(grant.id)
        self._until = now + self._pulse_s

    def tick(self, now: float) -> bool:
        """Close if the pulse is over; whether it closed just now."""
        if self._until is None or now < self._until:
            return False
        self._until = None
        return True

    def lock(self) -> None:
        """Close at once."""
        self._until = None
