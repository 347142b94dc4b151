"""Refused cards and PINs at the door of the kiosk, from its audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.console.kiosk.instructions import DOOR_INSTRUCTIONS, Instruction, find_instruction
from edge.console.records.events import Event
from edge.door.events import DoorEventCode


@dataclass(frozen=True, slots=True)
class RefusedCredential:
    """Instruction for a refused card or PIN."""

    instruction: Instruction
    at: float  # monotonic seconds at which the console read it


class RefusedCredentials:
    """Keeps the latest refused card or PIN in the log of one door."""

    def __init__(self, log: str, clock: Callable[[], float]) -> None:
        self._log, self._clock = log, clock
        self.latest: RefusedCredential | None = None

    def observe(self, event: Event) -> None:
        """Note an event if it is one of them; an observer of the feed, in its thread."""
        record = event.record
        if event.log != self._log or record.get("event") != DoorEventCode.CREDENTIAL_REFUSED:
            return
        found = find_instruction(DOOR_INSTRUCTIONS, record.get("reason"))
        if found is not None:
            self.latest = RefusedCredential(found, self._clock())
