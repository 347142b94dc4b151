"""The door's audit log, and the states in it that survive a restart."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edge.audit.async_writer import AsyncLogWriter, PendingRecord
from edge.audit.clock import trust_from_records
from edge.audit.reader import read_tail
from edge.audit.retention import Retention
from edge.audit.segments import invalid_segments
from edge.door.events import DoorEventCode, DoorRefusal, EventCause
from edge.door.timing import LatchedStates
from edge.errors import RecordError
from edge.system.wallclock import ClockTrust, WallClock
from edge.values import DoorEvent

log = logging.getLogger(__name__)

LATCHES = tuple(latch.name for latch in fields(LatchedStates))
_REFUSALS = 4  # recorded in each second; more are counted
_SECOND_S = 1.0
_REPORT_S = 10.0  # between two log lines about lost events


@dataclass(frozen=True, slots=True)
class PreviousRun:
    """State at the end of the previous run, from the end of the audit log."""

    latches: LatchedStates = field(default_factory=LatchedStates)
    clock: ClockTrust = field(default_factory=ClockTrust)
    last_event: str | None = None
    error: str | None = None  # why the state is unknown; the door then starts in lockdown


def load_previous_run(path: Path) -> PreviousRun:
    """Read the state of the previous run; the files may be damaged, and are not changed."""
    try:
        _check_segments(path)
        tail = read_tail(path)
        latched = next((r["latches"] for r in tail if isinstance(r.get("latches"), list)), None)
        if tail and latched is None:
            raise RecordError(
                f"{path}: the audit log cannot be read: no record at its end has the door's state"
            )
    except RecordError as error:
        return PreviousRun(LatchedStates(lockdown=True), error=str(error))
    return PreviousRun(
        LatchedStates(**{name: name in (latched or ()) for name in LATCHES}),
        trust_from_records(tail),
        next((str(r["event"]) for r in tail if "event" in r), None),
    )


def _check_segments(path: Path) -> None:
    """Raise RecordError if a segment is not a regular file: it may hide a latched state."""
    try:
        invalid = invalid_segments(path)
    except OSError:  # `read_tail` reports the reason
        return
    for name, why in invalid.items():
        if name.removesuffix(".log").isdecimal():
            raise RecordError(f"{path / name}: the audit log cannot be read: {why}")


@dataclass(frozen=True, slots=True)
class LockState:
    """State of the door that a `gap` record carries."""

    lock: str  # unlocked or locked
    alarms: tuple[str, ...]


class DoorAuditLog:
    """Writer of door events with the states that survive a restart.

    Nothing waits here; a caller waits for the `PendingRecord` of an event that must be on disk.
    Events lost to a hanging or full disk are counted; the counts are recorded when it works.
    """

    def __init__(
        self,
        log: AsyncLogWriter,
        previous: PreviousRun,
        latches: Callable[[], LatchedStates],
        state: Callable[[], LockState],
        wall: WallClock,
    ) -> None:
        log.use_clock(wall)
        self._log = log
        self._latches = latches
        self._state = state
        self._durable = None if previous.error else previous.latches
        self._pending: deque[tuple[PendingRecord, LatchedStates]] = deque()
        self._retry_at = -math.inf  # when latches that are not on disk may be recorded again
        self._second = -math.inf  # start of the current second of refusals
        self._refusals = self._suppressed = 0
        self._dropped: Counter[str] = Counter()  # lost events not in a `gap` record yet
        self._unlogged: Counter[str] = Counter()  # lost events that are not logged yet
        self._reported_at = -math.inf
        self._error = ""
        self._is_back = False  # True if the latest finished record was written
        self.newest = PendingRecord({})  # the latest one

    @property
    def lost(self) -> int:
        return self._log.lost

    def append(
        self, event: DoorEvent, more: Mapping[str, Any] | None = None, *, counted: bool = True
    ) -> PendingRecord:
        """Queue an event; its `PendingRecord` is done once it is on disk or has failed."""
        latches = self._latches()
        values = {key: value for key, value in asdict(event).items() if value is not None}
        fields = {**values, **(more or {}), "latches": _names(latches)}
        record = self.newest = self._log.submit(fields, counted=counted)
        if record.refused:
            self._count_lost(record)
        else:
            self._pending.append((record, latches))
        return record

    def append_refusal(self, event: DoorEvent, more: Mapping[str, Any] | None = None) -> None:
        """Record an event without a grant, at most a few per second.

        Requests must not wear out the disk.
        """
        self._begin_second(event.at)
        self._refusals += 1
        if self._refusals <= _REFUSALS:
            self.append(event, more)
        else:
            self._suppressed += 1

    def update_retention(self, retention: Retention) -> None:
        """Use another retention."""
        self._log.update_retention(retention)

    def run_maintenance(self, now: float) -> None:
        """Handle finished records, and record latches again that are not on disk."""
        while self._pending and self._pending[0][0].done.is_set():
            record, latches = self._pending.popleft()
            self._is_back = record.written
            if record.written:
                self._durable = latches
            else:
                self._count_lost(record)
        if not self._pending and self._durable != self._latches() and now >= self._retry_at:
            self._retry_at = now + _SECOND_S
            self.append(DoorEvent(DoorEventCode.LATCHED, EventCause.RETRY, now), counted=False)
        self._begin_second(now)
        self._report_lost(now)

    def close(self) -> None:
        self._log.close()

    def _count_lost(self, record: PendingRecord) -> None:
        """Count an event that was not recorded, and the counts that it carried."""
        self._suppressed += int(record.fields.get("left_out", 0))
        dropped = record.fields.get("dropped") or (
            [record.fields["event"]] if record.counted else []
        )
        self._dropped.update(dropped)
        self._unlogged.update([record.fields["event"]])
        self._is_back = False
        self._error = str(record.error)

    def _report_lost(self, now: float) -> None:
        """Report lost events: in the process log at intervals, in the audit log when it works."""
        if self._unlogged and now - self._reported_at >= _REPORT_S:
            self._reported_at = now
            log.error("not recorded: %s: %s", _counts(self._unlogged), self._error)
            self._unlogged.clear()
        if self._dropped and self._is_back and not self._pending:
            state, dropped = self._state(), dict(self._dropped)
            self._dropped.clear()
            more = {"dropped": dropped, "lock": state.lock, "alarms": list(state.alarms)}
            self.append(
                DoorEvent(DoorEventCode.GAP, EventCause.NOT_RECORDED, now), more, counted=False
            )

    def _begin_second(self, now: float) -> None:
        if now - self._second >= _SECOND_S:
            self._second, self._refusals, left_out, self._suppressed = now, 0, self._suppressed, 0
            if left_out:
                event = DoorEvent(DoorEventCode.REFUSED, DoorRefusal.SUPPRESSED, now)
                self.append(event, {"left_out": left_out}, counted=False)


def _counts(events: Counter[str]) -> str:
    return ", ".join(f"{count} x {event}" for event, count in sorted(events.items()))


def _names(latches: LatchedStates) -> list[str]:
    return [name for name in LATCHES if getattr(latches, name)]
