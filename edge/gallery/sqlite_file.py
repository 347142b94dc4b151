"""SQLite file of a gallery: detection of replacement, transactions, erasure of deleted data."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge.errors import GalleryError
from edge.gallery import schema, secure_delete
from edge.gallery.identity import REMEDY, FileIdentity, identify_file
from edge.system.atomic_files import STATE_FOLDER_MODE

_ROOM_BYTES = 1 << 16  # of the files that SQLite opens next to a gallery


class SqliteFile:
    """Open SQLite file that another process may write, replace or remove."""

    def __init__(self, path: Path, *, read_only: bool, lock_wait_s: float) -> None:
        """Open the file, made first unless `read_only`. Raises GalleryError."""
        self.path = path
        self._read_only, self._lock_wait_s = read_only, lock_wait_s
        if not read_only:
            self._make_file()
        self._connect()

    def _make_file(self) -> None:
        """Make the file readable for the owner only, before SQLite makes it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=STATE_FOLDER_MODE)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, flags, 0o600))
        except OSError as error:
            raise self._open_error(error) from error

    def _connect(self) -> None:
        before = identify_file(self.path)
        try:
            self.db = schema.connect(
                self.path, read_only=self._read_only, lock_wait_s=self._lock_wait_s
            )
        except schema.SQLITE_ERRORS as error:
            raise self._open_error(error) from error
        self._run_or_close(lambda: self._set_identity(before))

    def _set_identity(self, before: FileIdentity) -> None:
        self.db.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens log and shared memory
        self.identity = replace(before, companions=identify_file(self.path).companions)

    def _run_or_close(self, step: Callable[[], None]) -> None:
        """Run a step of opening; close the connection if it raises."""
        try:
            step()
        except BaseException as error:
            self.db.close()
            if isinstance(error, schema.SQLITE_ERRORS):
                raise self._open_error(error) from error
            raise

    def _open_error(self, error: Exception) -> GalleryError:
        if _is_full(self.path.parent):
            remedy = "the disk is full: make room, nothing is lost"
        else:
            remedy = f"check that the folder exists and is yours; if the file is damaged, {REMEDY}"
        return GalleryError(f"{self.path}: cannot open the gallery: {error}; {remedy}")

    def is_same_file(self) -> bool:
        """Return True if the path still leads to the open file. Raises GalleryError."""
        return identify_file(self.path).is_same_file(self.identity)

    def is_current(self) -> bool:
        """Return True if the file was not written since it was opened. Raises GalleryError."""
        return identify_file(self.path) == self.identity

    def data_version(self) -> int:
        """Return a number that changes with commits of other connections; cheap per frame."""
        try:
            return int(self.db.execute("PRAGMA data_version").fetchone()[0])
        except schema.SQLITE_ERRORS as error:
            raise self._read_error(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one write transaction, durable when the block has ended."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    @contextmanager
    def read_transaction(self) -> Iterator[None]:
        """Read one state of the file while others commit. Raises GalleryError."""
        try:
            self.db.execute("BEGIN")
            try:
                yield
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
        except schema.SQLITE_ERRORS as error:
            raise self._read_error(error) from error

    def _read_error(self, error: Exception) -> GalleryError:
        return GalleryError(f"{self.path}: cannot read the gallery: {error}")

    def truncate_log(self) -> bool:
        """Empty the write-ahead log; False while others read it or the disk is full."""
        try:
            return not self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except schema.SQLITE_ERRORS:
            return False

    def compact(self) -> None:
        """Rewrite the file without deleted data. Raises GalleryError."""
        try:
            self.db.execute("VACUUM")
        except schema.SQLITE_ERRORS as error:
            raise GalleryError(
                f"{self.path}: cannot rewrite the file: {error}; check that the disk is not full"
            ) from error
        if not self.truncate_log():
            raise GalleryError(
                f"{self.path}: cannot empty the write-ahead log: another process reads it; "
                "try again"
            )

    def assert_erased(self, deleted: Sequence[bytes]) -> None:
        """Raise GalleryError if a piece of deleted rows is still in a file."""
        if not self.truncate_log():
            raise GalleryError(
                "a sealed copy is still in the write-ahead log: another process reads it, or the "
                "disk is full"
            )
        if self._has_remnants(deleted):
            self.compact()
            if self._has_remnants(deleted):
                raise GalleryError("a sealed copy is still in the file")

    def _has_remnants(self, deleted: Sequence[bytes]) -> bool:
        with self.disconnected():
            secure_delete.sync_files(self.path)
            return secure_delete.find_remnants(self.path, deleted)

    @contextmanager
    def disconnected(self) -> Iterator[None]:
        """Close the connection for a block that opens the file itself.

        Closing a file releases all locks of this process on it, those of SQLite included.
        """
        self.db.close()
        try:
            yield
        finally:
            self._connect()

    def close(self) -> None:
        self.db.close()


def _is_full(folder: Path) -> bool:
    """Return True if SQLite has no room for the files it opens next to the gallery."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _ROOM_BYTES
