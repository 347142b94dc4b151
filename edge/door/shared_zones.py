"""State of the zones that the door processes of one terminal share."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.access.rules.content import ZoneContent
from edge.access.rules.engine import RulesEngine
from edge.door.events import DoorEventCode, EventCause
from edge.door.state_file import PendingSave
from edge.door.zone_file import PendingRead, ZoneFile
from edge.door.zone_lock import ZoneLock

log = logging.getLogger(__name__)

_RETRY_S = 1.0  # after a failed save
_VIEW_S = 1.0  # interval of reading changes of other doors for the status
_POLL_S = 0.002  # while another process holds the lock
_CLOSE_S = 1.0
_WAITING_MAX = 256

Report = Callable[[DoorEventCode, EventCause, str], None]


@dataclass(frozen=True, slots=True)
class _Save:
    """Save that is not finished."""

    pending: PendingSave
    revision: int  # of the engine; its changes up to this one are in the saved state
    waiting: list[PendingSave]  # finished with this one


@dataclass(frozen=True, slots=True)
class _Planned:
    """Save of the state that a grant leads to."""

    save: PendingSave
    revision: int  # before the grant


class SharedZones:
    """Keeps the engine's state and the file of all door processes in agreement.

    A decision, and each save, happens under the lock and on the newest state. The lock is held
    until the state is on disk and the grant is done. What happens without the lock is applied to
    the engine at once, and to the newest state as soon as the lock is free. Nothing waits here:
    the caller repeats `begin` and `update`.
    """

    def __init__(
        self,
        engine: RulesEngine,
        file: ZoneFile,
        lock: ZoneLock,
        clock: Callable[[], float],
        report: Report,
        *,
        has_other_doors: bool,
    ) -> None:
        self._engine, self._file, self._lock, self._clock = engine, file, lock, clock
        self._report, self._has_other_doors = report, has_other_doors
        self._jobs: deque[_Save | PendingRead] = deque()  # oldest first, as the file does them
        self._saved: int | None = engine.revision(clock())  # submitted last; None: not on disk
        self._waiting: list[PendingSave] = []  # for the next save
        self._planned: _Planned | None = None
        self._is_requested = self._is_granting = False
        self._is_current = False  # the newest state was read since the lock is held
        self._locked_read: PendingRead | None = None  # started since then
        self._retry_at = self._view_at = -math.inf
        self._has_file = False
        self._failed = ""  # latest problem of reading
        self._has_save_failed = False  # the latest save

    def load(self) -> None:
        """Take the state of the previous run; waits for the disk."""
        read = self._file.read()
        read.done.wait()
        if read.content is not None:
            self._engine.load(read.content)
        elif not read.is_missing:
            self._invalidate(read.invalid or read.failed)
        self._has_file = not read.is_missing

    # ---------------------------------------------------------------- requests

    def begin(self) -> bool:
        """Lock the zones and take their newest state; True once both are done."""
        self._is_requested = True
        self._collect()
        return self._advance()

    def end(self) -> None:
        """End a request; the lock is released once nothing waits to be saved."""
        self._is_requested = False
        self.update()

    def begin_grant(self, content: ZoneContent | None) -> PendingSave | None:
        """Save the state that a grant leads to; None if the grant changes nothing.

        A grant that an access control panel gave without the lock is saved after `end_grant`.
        Until `end_grant` other changes wait to be saved: a newer state would lack the grant.
        """
        self._is_granting = True
        if content is None or not self._is_current:
            return None
        revision = self._engine.revision(self._clock())
        self._planned = _Planned(self._submit(content, revision), revision)
        self._saved = None
        return self._planned.save

    def end_grant(self, before: int | None) -> None:
        """Note that a grant is done, with the revision before it; None if it is not as saved."""
        planned, self._planned = self._planned, None
        self._is_granting = False
        if before is not None and planned is not None and planned.save.written:
            after = self._engine.revision(self._clock())
            self._engine.mark_saved(before + 1, after)
            if before == planned.revision:  # the saved state has this grant, and nothing else
                self._saved = after
        self.update()

    # ---------------------------------------------------------------- changes

    def save(self) -> PendingSave:
        """Save the engine's state; the returned save ends with it."""
        pending = PendingSave()
        if len(self._waiting) >= _WAITING_MAX:
            pending.end(
                f"{_WAITING_MAX} saves wait: another door process holds the zones; restart it"
            )
            return pending
        self._waiting.append(pending)
        self._retry_at = -math.inf
        self.update()
        return pending

    def update(self) -> None:
        """Take what the file's thread has finished, save changes, release the lock."""
        self._collect()
        now = self._clock()
        if not self._is_granting and self._is_due(now):
            if self._advance():
                self._submit_newest()
        elif self._is_view_due(now):
            self._start_read()
        is_idle = not (self._is_requested or self._is_granting or self._jobs or self._is_due(now))
        if self._lock.is_held and is_idle:
            self._lock.release()
            self._is_current = False

    def wait(self, limit_s: float) -> None:
        """Wait until the file's thread has finished something, at most for a time."""
        if self._jobs:
            job = self._jobs[0]
            (job if isinstance(job, PendingRead) else job.pending).done.wait(limit_s)
        else:
            time.sleep(min(limit_s, _POLL_S))

    def close(self) -> None:
        """Save what is not saved, for at most a second, and release the lock."""
        ends_at = time.monotonic() + _CLOSE_S
        self._is_requested = self._is_granting = False
        while (self._jobs or self._is_due(self._clock())) and time.monotonic() < ends_at:
            self.update()
            self.wait(_POLL_S)
        self._file.close()
        self._lock.close()

    # ---------------------------------------------------------------- parts

    def _is_due(self, now: float) -> bool:
        """Return True if changes must be saved now."""
        is_changed = self._engine.revision(now) != self._saved
        return (is_changed or bool(self._waiting)) and now >= self._retry_at

    def _is_view_due(self, now: float) -> bool:
        """Return True if changes of other doors must be read for the status."""
        is_free = not (self._jobs or self._lock.is_held)
        return self._has_other_doors and is_free and now - self._view_at >= _VIEW_S

    def _advance(self) -> bool:
        """Proceed to the lock and the newest state; True once this process has both."""
        if not self._lock.try_acquire():
            return False
        if not self._is_current and self._locked_read is None:
            self._locked_read = self._start_read()
        return self._is_current

    def _start_read(self) -> PendingRead:
        self._view_at = self._clock()
        read = self._file.read()
        self._jobs.append(read)
        return read

    def _submit(self, content: ZoneContent, revision: int) -> PendingSave:
        pending = self._file.submit(content)
        self._jobs.append(_Save(pending, revision, self._waiting))
        self._waiting, self._saved = [], revision
        return pending

    def _submit_newest(self) -> None:
        now = self._clock()
        self._submit(self._engine.state(now), self._engine.revision(now))

    def _collect(self) -> None:
        """Take what the file's thread has finished, in the order in which it did it."""
        while self._jobs:
            job = self._jobs[0]
            if not (job if isinstance(job, PendingRead) else job.pending).done.is_set():
                return
            self._jobs.popleft()
            if isinstance(job, PendingRead):
                self._take(job)
            else:
                self._end_save(job)

    def _end_save(self, save: _Save) -> None:
        for waiting in save.waiting:
            waiting.end(save.pending.error)
        if save.pending.written:
            self._engine.mark_saved(0, save.revision)
            self._has_file = True
            if self._has_save_failed:
                log.warning("the state of the zones is saved again")
            self._has_save_failed = False
            return
        if not self._has_save_failed:  # once, not at each retry
            log.error("%s", save.pending.error)
            self._report(DoorEventCode.ZONES_NOT_SAVED, EventCause.DISK, save.pending.error)
        self._has_save_failed = True
        self._saved, self._retry_at = None, self._clock() + _RETRY_S

    def _take(self, read: PendingRead) -> None:
        """Take a newer state of another process."""
        is_locked = read is self._locked_read
        self._locked_read = None if is_locked else self._locked_read
        if read.failed:
            if read.failed != self._failed:
                log.error("%s", read.failed)
            self._failed = read.failed
            return
        self._is_current, self._failed = self._is_current or is_locked, ""
        if read.content is not None:
            if not self._engine.refresh(read.content):
                self._saved = None
        elif read.invalid:
            self._invalidate(read.invalid)
            self._saved = None  # this process still knows its grants
        elif read.is_missing and self._has_file:
            self._saved = None  # this process still knows the state
        self._has_file = self._has_file or not read.is_missing

    def _invalidate(self, error: str) -> None:
        log.error(
            "%s; entries that depend on it are refused; check who is inside, then run: "
            "edge-door reset-anti-passback --all",
            error,
        )
        self._engine.invalidate()
        self._report(DoorEventCode.ZONES_INVALID, EventCause.UNREADABLE_RECORD, error)
