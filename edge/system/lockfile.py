"""Lock files: one process per folder. The lock ends with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from edge.errors import AlreadyRunningError, LockFileError
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import STATE_FOLDER_MODE, make_folder

_PLAIN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def acquire_lock(path: Path, program: str, key: str) -> int:
    """Return a descriptor that holds a lock file until it is closed.

    Raises AlreadyRunningError if another process holds it, LockFileError if it cannot be opened.
    `program` and `key`, whose value chooses the folder, are for messages.
    """
    try:
        with acting_as_owner(path.parent):  # a file of root could not be opened by the owner
            make_folder(path.parent, STATE_FOLDER_MODE)
            fd = os.open(path, os.O_CREAT | os.O_RDWR | _PLAIN, 0o600)
    except OSError as error:
        raise LockFileError(
            f"{path}: {error.strerror}; check that the folder exists and its rights"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise AlreadyRunningError(
            f"{path.parent}: another {program} runs here; stop it first, or set another `{key}`"
        ) from error
    except OSError as error:
        os.close(fd)
        raise LockFileError(
            f"{path}: cannot be locked: {error.strerror}; check the file system"
        ) from error
    return fd


def is_locked(path: Path) -> bool:
    """Return True if a process holds the lock file. Raises LockFileError if it cannot be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | _PLAIN)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LockFileError(
            f"{path}: cannot be opened: {error.strerror}; check its rights"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
