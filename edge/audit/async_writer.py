"""A record whose caller never has to wait: one thread opens it and writes, and a disk that hangs holds nobody up."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from edge.audit.retention import Retention
from edge.audit.writer import AuditLogWriter
from edge.errors import RecordError
from edge.system.wallclock import WallClock

_TEND_S = 60.0  # how often old records are looked after while nothing happens


class QueueFullError(RecordError):
    """The queue of records that wait for the disk is full."""


class PendingRecord:
    """One record on its way to the disk. One that is not `counted` is not missed where it cannot be written."""

    def __init__(self, fields: dict[str, Any], *, counted: bool = True) -> None:
        self.fields = fields
        self.counted = counted
        self.done = threading.Event()
        self.error: RecordError | None = None

    @property
    def refused(self) -> bool:
        """True if the queue had no room for the record."""
        return self.done.is_set() and isinstance(self.error, QueueFullError)

    @property
    def written(self) -> bool:
        return self.done.is_set() and self.error is None


class AsyncLogWriter:
    """A log whose caller never has to wait: a hanging disk must not hold a lock open. One thread opens it and writes, in order;
    where it cannot be opened, each record tries again."""

    def __init__(self, open_log: Callable[[], AuditLogWriter]) -> None:
        self._open_log = open_log
        self._log: AuditLogWriter | None = None
        self._retention: Retention | None = None
        self._clock: WallClock | None = None
        self._unopened = 0  # records lost before it could be opened
        # Counted up and never back, each by one thread alone: what one forgets the other cannot lose.
        self._not_taken = 0  # for want of room in the queue; the caller's
        self._told = 0  # of those, on record; the writer's
        self._jobs: queue.Queue[PendingRecord | None] = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()

    def submit(self, fields: dict[str, Any], *, counted: bool = True) -> PendingRecord:
        """Hand over a record; `done` is set once it is on disk or has failed. A full queue is a failure."""
        job = PendingRecord(fields, counted=counted)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._not_taken += counted
            waiting = self._jobs.maxsize
            job.error = QueueFullError(
                f"the disk does not keep up: {waiting} records wait to be written"
            )
            job.done.set()
        return job

    @property
    def lost(self) -> int:
        """Records lost since the last that was written."""
        log = self._log
        return (log.lost if log else self._unopened) + self._not_taken - self._told

    def update_retention(self, keep: Retention) -> None:
        """How long records are kept from now on."""
        self._retention = keep
        if (log := self._log) is not None:
            log.retention = keep

    def use_clock(self, clock: WallClock) -> None:
        """Set the clock that dates and expires records; call it before the first record."""
        self._clock = clock

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, for at most `timeout_s`."""
        try:
            self._jobs.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)
        if not self._thread.is_alive() and self._log is not None:
            self._log.close()

    def _write(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._append(job)
            except RecordError as error:
                job.error = error
            except Exception as error:  # whatever one record does, the next one is written
                job.error = RecordError(f"the record was not written: {error!r}")
            job.done.set()
            if self._jobs.empty():
                self._tend()

    def _next(self) -> PendingRecord | None:
        """Of what waits; None at the end."""
        while True:
            try:
                return self._jobs.get(timeout=_TEND_S)
            except queue.Empty:
                self._tend()

    def _tend(self) -> None:
        """Between records, so that none waits for more than a step of it."""
        if self._log is not None:
            with contextlib.suppress(Exception):  # whatever it is, records are written
                self._log.run_maintenance()

    def _append(self, job: PendingRecord) -> None:
        if self._log is None:
            self._open(job)
        assert self._log is not None
        before, not_taken = self._log.lost, self._not_taken
        more = {"not_taken": not_taken - self._told} if not_taken > self._told else {}
        try:
            self._log.append({**job.fields, **more})
        except Exception:
            self._log.lost = before + job.counted
            raise
        self._told = not_taken

    def _open(self, job: PendingRecord) -> None:
        try:
            self._log = self._open_log()
        except Exception:
            self._unopened += job.counted
            raise
        self._log.lost = self._unopened
        if self._clock is not None:
            self._log.clock = self._clock
        if self._retention is not None:
            self._log.retention = self._retention
