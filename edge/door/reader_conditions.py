"""Records of case and supply of readers: a loose contact must not wear out the disk."""

from __future__ import annotations

import math

from edge.door.door import Door
from edge.door.events import DoorEventCode, EventCause
from edge.door.readers.events import ReaderCondition
from edge.values import DoorEvent

RECORD_S = 10.0  # at least between two records of one reader; the first change is recorded at once


class ReaderConditions:
    """Records a change at once if the reader was quiet, else the newest state later."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._recorded_at: dict[str, float] = {}
        self._newest: dict[str, ReaderCondition] = {}  # of readers that reported one
        self._changes: dict[str, int] = {}  # since the record

    def note(self, reader: str, condition: ReaderCondition) -> None:
        """Take the condition that a reader reports."""
        self._newest[reader] = condition
        self._changes[reader] = self._changes.get(reader, 0) + 1
        self.update()

    def update(self) -> None:
        """Record what is due."""
        now = self._door.clock()
        for reader in [name for name, count in self._changes.items() if count]:
            if now - self._recorded_at.get(reader, -math.inf) >= RECORD_S:
                self._record(reader, now)

    def _record(self, reader: str, now: float) -> None:
        condition, changes = self._newest[reader], self._changes[reader]
        self._recorded_at[reader], self._changes[reader] = now, 0
        more: dict[str, object] = {"reader": reader}
        if changes > 1:
            more["changes"] = changes
        event = DoorEvent(DoorEventCode.READER_CONDITION, _cause(condition), now)
        self._door.log.append(event, more)


def _cause(condition: ReaderCondition) -> EventCause:
    if condition.tampered:
        return EventCause.CASE_OPENED
    return EventCause.POWER_FAILED if condition.power_failed else EventCause.RESTORED
