"""Locks of names: one command at a time changes what a person is in gallery and people.json."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from edge.errors import LockFileError
from edge.names import name_key
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import open_regular

WAIT_S, _POLL_S = 10.0, 0.05  # longest wait for other commands
_RANGES_MAX = 2000  # names that are locked one by one: the kernel searches its list for each
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_OFFSET_BYTES = 7

_Range = tuple[int, int]  # first byte and length in the lock file; length 0: to its end
_ALL: _Range = (0, 0)


@contextlib.contextmanager
def lock_names(path: Path, names: Collection[str]) -> Iterator[set[str]]:
    """Lock names among commands in a block; yield those that are locked.

    Names of other commands are awaited for 10 s, then left out. Many names lock all, or none. A
    process that the block forks shares the locks: they end when both have ended.
    Raises LockFileError.
    """
    ranges = {name: _ALL if len(names) > _RANGES_MAX else _range_of(name) for name in names}
    fd = _open(path)
    try:
        locked = _lock(fd, set(ranges.values()), path)
        yield {name for name, one in ranges.items() if one in locked}
    finally:
        os.close(fd)


def _range_of(name: str) -> _Range:
    digest = hashlib.sha256(name_key(name).encode()).digest()
    return int.from_bytes(digest[:_OFFSET_BYTES], "big"), 1


def _open(path: Path) -> int:
    try:
        with acting_as_owner(path.parent):  # a file of root could not be opened by the owner
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return open_regular(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise LockFileError(
            f"{path}: {error.strerror}; check that the folder exists and its rights"
        ) from error


def _lock(fd: int, wanted: set[_Range], path: Path) -> set[_Range]:
    ends_at = time.monotonic() + WAIT_S
    locked = {one for one in wanted if _try_lock(fd, one, path)}
    while (waiting := wanted - locked) and time.monotonic() < ends_at:
        time.sleep(_POLL_S)
        locked |= {one for one in waiting if _try_lock(fd, one, path)}
    return locked


def _try_lock(fd: int, one: _Range, path: Path) -> bool:
    start, length = one
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)
    except BlockingIOError:
        return False
    except OSError as error:
        raise LockFileError(
            f"{path}: cannot be locked: {error.strerror}; check the file system"
        ) from error
    return True
