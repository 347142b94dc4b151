"""Atomic, durable file writes, and reads of files that another account may have placed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge.system.accounts import acting_as_owner

# Members of the group reach the audit log and the live socket in it, and cannot list it.
STATE_FOLDER_MODE = 0o710

_NOT_REGULAR = "expected a regular file, found a link, folder, FIFO, socket or device"

_NOT_REPLACEABLE = "expected a file or nothing yet, found a folder, FIFO, socket or device"


class NotRegularError(OSError):
    """A link, folder, FIFO, socket or device in place of a file."""


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically; on disk on return.

    Raises OSError, NotRegularError for a folder, FIFO, socket or device.
    """
    check_replaceable(path)
    with _temporary_file(path, data, mode) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def write_in_memory(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file of a file system in memory atomically; nothing waits for a disk.

    Raises OSError.
    """
    with _temporary_file(path, data, mode, is_synced=False) as temporary:
        temporary.replace(path)


def create_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file atomically unless it exists; on disk on return. Raises OSError."""
    with _temporary_file(path, data, mode) as temporary, contextlib.suppress(FileExistsError):
        os.link(temporary, path, follow_symlinks=False)
    sync_folder(path.parent)


@contextlib.contextmanager
def _temporary_file(
    path: Path, data: bytes, mode: int, *, is_synced: bool = True
) -> Iterator[Path]:
    """Write a file next to `path`, synced to disk, and remove it afterwards unless renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(
            temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, mode
        )
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replace_file(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends without an exception.

    root opens it with the rights of the folder's owner. Raises OSError.
    """
    check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    with acting_as_owner(path.parent):
        fd = os.open(temporary, flags, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` that processes left which a power cut or kill ended.

    Files of other running processes stay. Call it before the first write. Never raises.
    """
    with contextlib.suppress(OSError):
        for found in path.parent.glob(f".{path.name}.*"):
            number = found.name.removeprefix(f".{path.name}.")
            is_own = number == str(os.getpid())
            if number.isdecimal() and (is_own or not Path("/proc", number).exists()):
                found.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise NotRegularError if a file must not replace the target, such as /dev/null."""
    if path.exists() and not path.is_file():
        raise NotRegularError(errno.EINVAL, _NOT_REPLACEABLE, str(path))


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o640) -> int:
    """Return a descriptor of a regular file. Raises OSError, NotRegularError for other kinds.

    Root reads folders of other accounts: links are not followed, a FIFO or device does not block.
    """
    wanted = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, wanted, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotRegularError(errno.EINVAL, _NOT_REGULAR, str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegularError(errno.EINVAL, _NOT_REGULAR, str(path))
    return fd


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file. Raises OSError, also for more than `max_bytes`."""
    with os.fdopen(open_regular(path), "rb") as file:
        # Python allocates what it is asked for: not the limit, which is far above most sizes.
        size = max(os.fstat(file.fileno()).st_size + 1, io.DEFAULT_BUFFER_SIZE)
        content = file.read(min(size, max_bytes + 1))
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than the {max_bytes} bytes it can have", str(path))
    return content


def make_folder(path: Path, mode: int) -> None:
    """Create a folder and its parents; their names are on disk on return. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent, STATE_FOLDER_MODE)
    path.mkdir(exist_ok=True, mode=mode)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to disk (fsync). Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
