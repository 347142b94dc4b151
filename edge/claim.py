"""One process per place: a lock that goes with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def claim(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None where another process has it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
