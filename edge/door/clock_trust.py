"""Clock trust over the door's socket: the recogniser adopts an operator's confirmation."""

from __future__ import annotations

from typing import Any

from edge.door.client import DoorClient
from edge.errors import DoorError
from edge.system.wallclock import ClockDoubt, WallClock

TRUST_CLOCK = "trust-clock"  # the operator's command


def clock_status(clock: WallClock) -> dict[str, Any]:
    """Return the door's answer about its clock: `doubt` (empty if trusted) and `confirmed`."""
    doubt = clock.read_with_doubt()[1]
    return {"doubt": doubt.value if doubt else "", "confirmed": clock.trust.confirmed}


def adopt_confirmation(clock: WallClock, door: DoorClient) -> bool:
    """Adopt a confirmation that only the door has so far; return True if there is one.

    Both processes read the same clock, so the door's confirmation holds here as well.
    """
    try:
        answer = door.status().get("clock")
    except DoorError:
        return False
    if not isinstance(answer, dict) or answer.get("doubt") != "":
        return False
    confirmed = answer.get("confirmed")
    if not isinstance(confirmed, float) or not confirmed:
        return False
    return confirmed != clock.trust.confirmed and clock.confirm(confirmed) is None


def describe_doubt(doubt: ClockDoubt) -> str:
    """Return one line for `edge-door status`, the doctor and logs."""
    return f"the clock is not trusted ({doubt.value}): {doubt.sentence}"
