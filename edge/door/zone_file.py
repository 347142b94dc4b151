"""File of the zones' state, read and written by a thread: its caller never waits."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

from edge.access.rules.codec import ContentCodec
from edge.access.rules.content import ZoneContent
from edge.door.state_file import STATE_FILE_MAX, StateFile
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import open_regular

_Signature = tuple[int, int, int, int]


class PendingRead:
    """Newest state on its way from the disk."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.content: ZoneContent | None = None  # None: the same file as before
        self.is_missing = False
        self.invalid = ""  # why the file is no state
        self.failed = ""  # why it is unknown what the file contains


class ZoneFile(StateFile[ZoneContent]):
    """Writes the newest state, and reads states that other processes wrote.

    The file read or written last stays open, so that its inode is not used again: another inode
    means a newer file.
    """

    def __init__(self, path: Path) -> None:
        self._codec = ContentCodec()
        self._fd: int | None = None
        self._seen: _Signature | None = None  # of the file read or written last
        self._has_read = False
        super().__init__(path, self._codec.encode)

    def read(self) -> PendingRead:
        """Queue a check for a newer file; `done` is set when it is read."""
        pending = PendingRead()
        if not self._add(partial(self._read, pending)):
            pending.failed = f"{self._path}: the disk does not answer"
            pending.done.set()
        return pending

    # ---------------------------------------------------------------- thread

    def _note_written(self) -> None:
        self._keep(open_regular(self._path))

    def _end(self) -> None:
        self._keep(None)

    def _read(self, read: PendingRead) -> None:
        try:
            if (fd := self._open_newer()) is not None:
                self._load(read, fd)
        except FileNotFoundError:
            read.is_missing = True
        except Exception as error:  # the next state must still be read
            reason = getattr(error, "strerror", None) or str(error)
            read.failed = f"{self._path}: cannot be read: {reason}; check the disk and its rights"
        read.done.set()

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
                text = file.read(STATE_FILE_MAX + 1)
        except OSError:
            os.close(fd)
            raise
        self._keep(fd)
        try:
            if len(text) > STATE_FILE_MAX:
                raise ValueError(f"zone state: more than {STATE_FILE_MAX} bytes")
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
