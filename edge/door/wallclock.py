"""The clock on both sides of the door's socket: the recogniser takes over what an operator confirmed."""

from __future__ import annotations

from typing import Any

from edge.door.client import DoorClient
from edge.errors import DoorError
from edge.system.wallclock import Doubt, WallClock

TRUST_CLOCK = "trust-clock"  # the operator's command


def clock_status(clock: WallClock) -> dict[str, Any]:
    """Return the door's answer about its clock: `doubt` (empty if believed) and `confirmed`."""
    doubt = clock.check()[1]
    return {"doubt": doubt.value if doubt else "", "confirmed": clock.belief.confirmed}


def adopt_confirmation(clock: WallClock, door: DoorClient) -> bool:
    """Take over a confirmation that the door has and this process has not; True if it did.

    Both processes read the same clock: what the door believes after it is right here as well.
    """
    try:
        told = door.status().get("clock")
    except DoorError:
        return False
    if not isinstance(told, dict) or told.get("doubt") != "":
        return False
    confirmed = told.get("confirmed")
    if not isinstance(confirmed, float) or not confirmed:
        return False
    return confirmed != clock.belief.confirmed and clock.confirm(confirmed) is None


def describe_doubt(doubt: Doubt) -> str:
    """Return one line for `edge-door status`, the doctor and logs."""
    return f"the clock is not trusted ({doubt.value}): {doubt.why}"
