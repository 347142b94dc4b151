"""Identity of a database file, to detect that it was replaced, rewritten or removed."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edge.errors import GalleryError

REMEDY = "restore a backup: edge-gallery restore FILE --replace, see docs/backup.md"
_COMPANIONS = ("-wal", "-shm")
FileId = tuple[int, int]  # device and inode


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Identity of a file at one moment, with the files that SQLite keeps next to it."""

    file: FileId
    companions: tuple[FileId | None, ...]  # write-ahead log and shared memory
    size: int
    changed_ns: int

    def is_same_file(self, other: FileIdentity) -> bool:
        """Return True if both are one file, even if it was written in between."""
        return (self.file, self.companions) == (other.file, other.companions)


def identify_file(path: Path) -> FileIdentity:
    """Return the identity of the file at a path. Raises GalleryError if it is no regular file."""
    try:
        found = path.lstat()
    except FileNotFoundError as error:
        raise GalleryError(f"{path}: the gallery is missing; {REMEDY}") from error
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot look for the gallery: {error.strerror}; check the rights of its folder"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
        raise GalleryError(f"{path}: the gallery is {kind}; remove it and {REMEDY}")
    return FileIdentity(
        (found.st_dev, found.st_ino), _companions(path), found.st_size, found.st_ctime_ns
    )


def _companions(path: Path) -> tuple[FileId | None, ...]:
    return tuple(_file_id(path.with_name(f"{path.name}{ending}")) for ending in _COMPANIONS)


def _file_id(path: Path) -> FileId | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
