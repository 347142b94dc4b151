"""File of the zones' state, read and written by a thread: its caller never waits."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from edge.access.rules.codec import ContentCodec
from edge.access.rules.content import ZoneContent
from edge.door.state_file import PendingSave
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import open_regular, write_atomic

_FILE_MAX = 64 << 20  # bytes
_CLOSE_S = 1.0
_WAITING_MAX = 256

_Signature = tuple[int, int, int, int]


class PendingRead:
    """Newest state on its way from the disk."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.content: ZoneContent | None = None  # None: the same file as before
        self.is_missing = False
        self.invalid = ""  # why the file is no state
        self.failed = ""  # why it is unknown what the file contains


class ZoneFile:
    """Writes the newest state, and reads states that other processes wrote.

    States that were replaced while they waited are not written. The file read or written last
    stays open, so that its inode is not used again: another inode means a newer file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._codec = ContentCodec()
        self._fd: int | None = None
        self._seen: _Signature | None = None  # of the file read or written last
        self._has_read = False
        self._lock = threading.Condition()
        self._jobs: list[tuple[PendingSave, ZoneContent] | PendingRead] = []
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="zones", daemon=True)
        self._thread.start()

    def submit(self, content: ZoneContent) -> PendingSave:
        """Queue a state that changes no more; `done` is set when it is on disk or failed."""
        pending = PendingSave()
        if not self._add((pending, content)):
            pending.end(f"{self._path}: the disk does not answer; {_WAITING_MAX} saves wait")
        return pending

    def read(self) -> PendingRead:
        """Queue a check for a newer file; `done` is set when it is read."""
        pending = PendingRead()
        if not self._add(pending):
            pending.failed = f"{self._path}: the disk does not answer"
            pending.done.set()
        return pending

    def close(self) -> None:
        """Write the waiting state, for at most a second."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        self._thread.join(_CLOSE_S)

    def _add(self, job: tuple[PendingSave, ZoneContent] | PendingRead) -> bool:
        with self._lock:
            if len(self._jobs) >= _WAITING_MAX:  # the disk hangs
                return False
            self._jobs.append(job)
            self._lock.notify()
        return True

    # ---------------------------------------------------------------- thread

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._jobs or self._is_closing)
                jobs, self._jobs = self._jobs, []
            if not jobs:
                self._keep(None)
                return
            saves: list[PendingSave] = []
            for number, job in enumerate(jobs, 1):
                if isinstance(job, PendingRead):
                    self._read(job)
                    job.done.set()
                    continue
                saves.append(job[0])
                if number == len(jobs) or isinstance(jobs[number], PendingRead):
                    error = self._write(job[1])
                    for save in saves:
                        save.end(error)
                    saves = []

    def _write(self, content: ZoneContent) -> str:
        """Write a state; return why it was not written."""
        try:
            with acting_as_owner(self._path.parent):
                write_atomic(self._path, self._codec.encode(content))
                self._keep(open_regular(self._path))
        except Exception as error:  # the next state must still be written
            reason = getattr(error, "strerror", None) or str(error)
            return f"{self._path}: cannot be written: {reason}; check the disk and its space"
        return ""

    def _read(self, read: PendingRead) -> None:
        try:
            if (fd := self._open_newer()) is not None:
                self._load(read, fd)
        except FileNotFoundError:
            read.is_missing = True
        except Exception as error:  # the next state must still be read
            reason = getattr(error, "strerror", None) or str(error)
            read.failed = f"{self._path}: cannot be read: {reason}; check the disk and its rights"

    def _open_newer(self) -> int | None:
        """Return a descriptor of the file, None if it was read or written before.

        Raises OSError. A file that cannot be opened at the start counts as read from then on.
        """
        is_first, self._has_read = not self._has_read, True
        found = _signature(self._path.lstat())
        if found == self._seen:
            return None
        if is_first:
            self._seen = found
        with acting_as_owner(self._path.parent):
            return open_regular(self._path)

    def _load(self, read: PendingRead, fd: int) -> None:
        """Read a newer file; it is known from now on, also if it is invalid. Raises OSError."""
        try:
            with os.fdopen(os.dup(fd), "rb") as file:
                text = file.read(_FILE_MAX + 1)
        except OSError:
            os.close(fd)
            raise
        self._keep(fd)
        try:
            if len(text) > _FILE_MAX:
                raise ValueError(f"zone state: more than {_FILE_MAX} bytes")
            read.content = self._codec.decode(text)
        except ValueError as error:
            read.invalid = str(error)

    def _keep(self, fd: int | None) -> None:
        """Keep a file open as the newest one."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._has_read = fd, True
        self._seen = None if fd is None else _signature(os.fstat(fd))


def _signature(found: os.stat_result) -> _Signature:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
