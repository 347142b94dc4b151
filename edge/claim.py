"""One process per place: a lock that goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge.errors import ClaimError, PlaceError


def claim(path: Path, who: str) -> int:
    """A descriptor that holds the lock file until it is closed.

    Raises ClaimError where another process has it, PlaceError where it cannot be opened, so that nobody can tell.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PlaceError(
            f"{path}: {error.strerror}; check that the folder exists and is yours"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise ClaimError(
            f"{path.parent}: another {who} runs here; stop it first, or set another `state:`"
        ) from error
    except OSError as error:
        os.close(fd)
        raise PlaceError(
            f"{path}: cannot be locked: {error.strerror}; check the file system"
        ) from error
    return fd
