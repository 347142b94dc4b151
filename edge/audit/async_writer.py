"""Background writer: a thread opens and writes an audit log, so that its caller never waits."""

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

_MAINTENANCE_S = 60.0  # interval of the maintenance while no records come


class QueueFullError(RecordError):
    """The queue of records that wait for the disk is full."""


class PendingRecord:
    """Record on its way to the disk; one that is not `counted` is not counted if it is lost."""

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
        """True if the record is on disk."""
        return self.done.is_set() and self.error is None


class AsyncLogWriter:
    """Writes records in order by one thread: a hanging disk does not hold a lock open.

    If the log cannot be opened, each record tries again.
    """

    def __init__(self, open_log: Callable[[], AuditLogWriter]) -> None:
        self._open_log = open_log
        self._log: AuditLogWriter | None = None
        self._retention: Retention | None = None
        self._clock: WallClock | None = None
        self._unopened = 0  # records lost before the log was opened
        # Each is changed by one thread and never decreases, so that no lock is needed.
        self._not_taken = 0  # records that the queue refused; of the caller
        self._recorded = 0  # how many of them are recorded; of the writer thread
        self._jobs: queue.Queue[PendingRecord | None] = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()

    def submit(self, fields: dict[str, Any], *, counted: bool = True) -> PendingRecord:
        """Queue a record; `done` is set when it is on disk or failed, at once if refused."""
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
        """Records lost since the last one that was written."""
        log = self._log
        return (log.lost if log else self._unopened) + self._not_taken - self._recorded

    def update_retention(self, retention: Retention) -> None:
        """Set how long records are kept."""
        self._retention = retention
        if (log := self._log) is not None:
            log.retention = retention

    def use_clock(self, clock: WallClock) -> None:
        """Set the clock that dates and expires records; call it before the first record."""
        self._clock = clock

    def close(self, timeout_s: float = 1.0) -> None:
        """Write the waiting records, for at most `timeout_s`."""
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
            except Exception as error:  # the next record must still be written
                job.error = RecordError(f"the record was not written: {error!r}")
            job.done.set()
            if self._jobs.empty():
                self._run_maintenance()

    def _next(self) -> PendingRecord | None:
        """Wait for the next record; None at the end."""
        while True:
            try:
                return self._jobs.get(timeout=_MAINTENANCE_S)
            except queue.Empty:
                self._run_maintenance()

    def _run_maintenance(self) -> None:
        """Run one step between records, so that a record waits for one step at most."""
        if self._log is not None:
            with contextlib.suppress(Exception):  # records must still be written
                self._log.run_maintenance()

    def _append(self, job: PendingRecord) -> None:
        log = self._log or self._open(job)
        before, not_taken = log.lost, self._not_taken
        count = not_taken - self._recorded
        try:
            log.append({**job.fields, **({"not_taken": count} if count > 0 else {})})
        except Exception:
            log.lost = before + job.counted
            raise
        self._recorded = not_taken

    def _open(self, job: PendingRecord) -> AuditLogWriter:
        try:
            log = self._open_log()
        except Exception:
            self._unopened += job.counted
            raise
        log.lost = self._unopened
        if self._clock is not None:
            log.clock = self._clock
        if self._retention is not None:
            log.retention = self._retention
        self._log = log
        return log
