"""Lock of the zones among the door processes of one terminal. It ends with the process."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import open_regular

log = logging.getLogger(__name__)

_RETRY_S = 1.0  # between two attempts to open the file


class ZoneLock:
    """Lock file that is polled: nothing waits here.

    A file that cannot be opened counts as held by another process.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._fd: int | None = None
        self._retry_at = clock()
        self._problem = ""
        self.is_held = False
        self._open()

    def try_acquire(self) -> bool:
        """Return True if this process holds the lock now."""
        if self.is_held:
            return True
        if self._fd is None:
            self._open()
        if self._fd is None:
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            self._report(error)
            return False
        if os.fstat(self._fd).st_nlink == 0:  # removed: other processes lock another file
            self.close()
            return False
        self.is_held = True
        return True

    def release(self) -> None:
        """Let other processes have the lock."""
        if self.is_held and self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.is_held = False

    def close(self) -> None:
        """Release the lock and close its file."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self.is_held = None, False

    def _open(self) -> None:
        if self._clock() < self._retry_at:
            return
        try:
            with acting_as_owner(self._path.parent):  # the owner could not open a file of root
                self._fd = open_regular(self._path, os.O_CREAT | os.O_RDONLY, 0o600)
        except OSError as error:
            self._retry_at = self._clock() + _RETRY_S
            self._report(error)

    def _report(self, error: OSError) -> None:
        """Log a problem unless it is known."""
        problem = error.strerror or str(error)
        if problem != self._problem:
            self._problem = problem
            log.error(
                "%s: cannot be locked: %s; requests that depend on zones are refused until it "
                "can; check the folder and its rights",
                self._path,
                problem,
            )
