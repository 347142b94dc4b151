"""The open database of a gallery: key and terminal proved, whole transactions, files without leftovers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery import schema, sealing, secure_delete
from edge.gallery.identity import REMEDY, FileIdentity, identify
from edge.gallery.sealing import RowCipher
from edge.subject import SubjectRecord, from_json, to_json

CHECK = b"the key of this gallery"
# Made with the gallery, and the same after a change of its key: what PIN hashes need besides the PIN, and what seals scores and
# pictures in records.
SECRETS = PEPPER, EVIDENCE = "pepper", "evidence"
_ROOM_BYTES = 1 << 16  # of the files that SQLite opens next to a gallery


class WrongKeyError(GalleryError):
    """The gallery is sealed by another key."""


@dataclass(frozen=True, slots=True)
class Position:
    """State of a gallery in a reader's memory, comparable with the state a writer stored."""

    device: int
    inode: int
    revision: int
    key_check: str  # digest; changes with the key


def _is_full(folder: Path) -> bool:
    """Return True if SQLite has no room for the files it opens next to the gallery."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _ROOM_BYTES


class Database:
    """SQLite with every row sealed. Raises GalleryError for another terminal, key or schema.

    `read_only`: the file must exist, and is never changed. `renew_key` reads the key again after
    the gallery was sealed by another one.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        terminal: str,
        read_only: bool = False,
        renew_key: Callable[[], bytes] | None = None,
        lock_wait_s: float = schema.LOCK_WAIT_S,
    ) -> None:
        self.path, self.terminal = path, terminal
        self.cipher = RowCipher(key, terminal)
        self._read_only, self._renew_key, self._lock_wait_s = read_only, renew_key, lock_wait_s
        if not read_only:
            self._make_file()
        self._connect()
        self._or_close(lambda: self._prepare(key))

    def _make_file(self) -> None:
        """Make the file readable for the owner only, before SQLite makes it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, flags, 0o600))
        except OSError as error:
            raise self._unopened(error) from error

    def _connect(self) -> None:
        before = identify(self.path)
        try:
            self.db = schema.connect(
                self.path, read_only=self._read_only, lock_wait_s=self._lock_wait_s
            )
        except schema.SQLITE_ERRORS as error:
            raise self._unopened(error) from error
        self._or_close(lambda: self._note_identity(before))

    def _note_identity(self, before: FileIdentity) -> None:
        self.db.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens log and shared memory
        self.identity = replace(before, companions=identify(self.path).companions)

    def _or_close(self, step: Callable[[], None]) -> None:
        """Run a step of opening; close the connection if it raises."""
        try:
            step()
        except BaseException as error:
            self.db.close()
            if isinstance(error, schema.SQLITE_ERRORS):
                raise self._unopened(error) from error
            raise

    def _unopened(self, error: Exception) -> GalleryError:
        if _is_full(self.path.parent):
            remedy = "the disk is full: make room, nothing is lost"
        else:
            remedy = f"check that the folder exists and is yours; if the file is damaged, {REMEDY}"
        return GalleryError(f"{self.path}: cannot open the gallery: {error}; {remedy}")

    def is_same_file(self) -> bool:
        """Return True if the path still leads to the open file. Raises GalleryError."""
        return identify(self.path).is_same_file(self.identity)

    def is_current(self) -> bool:
        """Return True if the file was not written since it was opened. Raises GalleryError."""
        return identify(self.path) == self.identity

    def reconnect(self) -> None:
        """Open the file that is at the path now. After a GalleryError no file is open."""
        self.db.close()
        self._connect()
        self._or_close(self._check)

    def reopen_if_replaced(self) -> None:
        """Open the file that is at the path now, unless it is open already. Raises GalleryError."""
        if self.is_same_file():
            with contextlib.suppress(GalleryError, *schema.SQLITE_ERRORS):
                self.check_key()
                return
        self.reconnect()

    def _prepare(self, key: bytes) -> None:
        """Make or upgrade the tables, and check terminal, schema and key."""
        if not self._read_only:
            if not schema.read_meta(self.db):
                with self._transaction():
                    if not schema.read_meta(self.db):
                        schema.create_tables(self.db, self._fresh_meta())
            elif schema.read_meta(self.db).get("schema") == schema.SCHEMA_V1:
                self._demand_terminal(schema.read_meta(self.db))
                self._upgrade(key)
        self._check()

    def _check(self) -> None:
        """Raise GalleryError if the gallery is of another terminal, schema or key."""
        meta = schema.read_meta(self.db)
        if not meta:
            raise GalleryError(f"{self.path}: the file is empty, it is not a gallery; {REMEDY}")
        self._demand_terminal(meta)
        self._demand("schema", meta.get("schema"), schema.SCHEMA, "use the version that made it")
        try:
            self.check_key()
        except WrongKeyError:
            if self._renew_key is None:
                raise
            with contextlib.suppress(GalleryError):  # this account may not read the key again
                self.cipher = RowCipher(self._renew_key(), self.terminal)
            self.check_key()

    def _demand_terminal(self, meta: Mapping[str, object]) -> None:
        remedy = "set `terminal:` back, or enroll in another state folder"
        self._demand("terminal", meta.get("terminal"), self.terminal, remedy)

    def _fresh_meta(self) -> dict[str, str | int | bytes]:
        return {
            "terminal": self.terminal,
            "check": self.cipher.encrypt(CHECK, "check"),
            **{
                name: self.cipher.encrypt(secrets.token_bytes(sealing.SECRET_BYTES), name)
                for name in SECRETS
            },
        }

    def read_secret(self, name: str) -> bytes:
        """One of SECRETS; raises GalleryError."""
        with self.read_transaction():
            (sealed,) = self.db.execute(
                "SELECT value FROM meta WHERE name = ?", (name,)
            ).fetchone() or (b"",)
        return self.cipher.decrypt(sealed, name)

    def _upgrade(self, key: bytes) -> None:
        with self._transaction():
            if schema.read_meta(self.db).get("schema") == schema.SCHEMA_V1:
                schema.upgrade_from_v1(self.db, key, self._fresh_meta(), self.write_subject)
        self.compact()

    def _demand(self, name: str, found: object, expected: object, remedy: str) -> None:
        if found != expected:
            raise GalleryError(
                f"{self.path}: the gallery belongs to {name} {abbreviate(found)}, "
                f"expected {abbreviate(expected)}; {remedy}"
            )

    def check_key(self) -> None:
        """Raise WrongKeyError if the gallery has another key, GalleryError if it is damaged."""
        check = self._key_check()
        try:
            if self.cipher.decrypt(check, "check") == CHECK:
                return
        except GalleryError as error:
            raise WrongKeyError(
                f"{self.path}: the key is not the one of this gallery; restore key and gallery "
                "together (docs/backup.md); after edge-gallery rotate-key restart edge-daemon; "
                "if rotate-key was interrupted, run it again"
            ) from error
        raise GalleryError(f"{self.path}: the key check value is wrong: damaged; {REMEDY}")

    def _key_check(self) -> bytes:
        (check,) = self.db.execute("SELECT value FROM meta WHERE name = 'check'").fetchone() or (
            None,
        )
        if not isinstance(check, bytes):
            raise GalleryError(f"{self.path}: the key check value is missing: damaged; {REMEDY}")
        return check

    def read_position(self) -> Position:
        """Return the position that identifies the gallery's state. Raises GalleryError."""
        with self.read_transaction():
            check, revision = self._key_check(), self.read_counter()
        return Position(*self.identity.file, revision, hashlib.sha256(check).hexdigest()[:16])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run one transaction, durable when the block has ended.

        Raises GalleryError if the file was replaced or sealed by another key since it was opened:
        written data would be lost, or could never be read.
        """
        with self._transaction():
            self.check_key()
            yield
            if identify(self.path).file != self.identity.file:
                raise GalleryError(
                    f"{self.path}: the file was replaced during the work; run the command again"
                )

    @contextmanager
    def write_transaction(self, what: str) -> Iterator[None]:
        """The same, with SQLite's errors as ours: `what` did not happen."""
        try:
            with self.writing():
                yield
        except schema.SQLITE_ERRORS as error:
            raise GalleryError(f"{self.path}: {what}: {error}; nothing was changed") from error

    @contextmanager
    def read_transaction(self) -> Iterator[None]:
        """One moment of the gallery, whatever others commit meanwhile; SQLite's errors as ours."""
        try:
            self.db.execute("BEGIN")
            try:
                yield
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
        except schema.SQLITE_ERRORS as error:
            raise GalleryError(f"{self.path}: cannot read the gallery: {error}") from error

    def allocate_numbers(self, count: int) -> int:
        """So many numbers that nobody has had; the first. Within a transaction."""
        counter = self.read_counter()
        self.db.execute("UPDATE meta SET value = ? WHERE name = 'counter'", (counter + count,))
        return counter + 1

    def read_counter(self) -> int:
        """The last number that was given; raises GalleryError where the gallery does not know it."""
        found = self.db.execute("SELECT value FROM meta WHERE name = 'counter'").fetchone()
        if not found or not isinstance(found[0], int) or found[0] < 0:
            raise GalleryError(f"{self.path}: the gallery has lost its counter: damaged; {REMEDY}")
        return found[0]

    def find_row(self, name: str) -> tuple[int, int, bytes] | None:
        """Number, revision and sealed record of a subject."""
        found: tuple[int, int, bytes] | None = self.db.execute(
            "SELECT id, revision, sealed FROM subjects WHERE tag = ?", (self.cipher.name_tag(name),)
        ).fetchone()
        return found

    def decrypt_subject(
        self, subject: int, revision: int, sealed: bytes
    ) -> tuple[str, SubjectRecord]:
        return from_json(self.cipher.decrypt(sealed, "subject", subject, revision))

    def write_subject(
        self,
        name: str,
        record: SubjectRecord,
        embeddings: NDArray[np.float32],
        model: str,
        chips: Sequence[bytes | None] = (),
    ) -> int:
        """Within a transaction: the subject's row anew, and rows for more templates; the subject's number."""
        first = self.allocate_numbers(2 + len(embeddings))
        known = self.find_row(name)
        name = self._spelling(known, name)
        revision, subject = first, known[0] if known else first + 1
        self.db.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed",
            (
                subject,
                self.cipher.name_tag(name),
                revision,
                self.cipher.encrypt(to_json(name, record), "subject", subject, revision),
            ),
        )
        for i, embedding in enumerate(embeddings):
            template = first + 2 + i
            sealed = self.cipher.encrypt(
                np.asarray(embedding, "<f4").tobytes(), "template", template, subject, model
            )
            self.db.execute(
                "INSERT INTO templates VALUES (?, ?, ?, ?)", (template, subject, model, sealed)
            )
            if chips and (chip := chips[i]) is not None:
                self.db.execute(
                    "INSERT INTO chips VALUES (?, ?)",
                    (template, self.cipher.encrypt(chip, "chip", template)),
                )
        return subject

    def _spelling(self, known: tuple[int, int, bytes] | None, name: str) -> str:
        """Return the stored spelling of a name, so that its joiners are not lost."""
        if known is None:
            return name
        try:
            return self.decrypt_subject(*known)[0]
        except GalleryError:  # the row is about to be replaced
            return name

    def truncate_log(self) -> bool:
        """Whether the write-ahead log is empty now; not while another process reads, or where the disk is full."""
        try:
            return not self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except schema.SQLITE_ERRORS:
            return False

    def compact(self) -> None:
        """Write the file anew, without anything that was deleted. Raises GalleryError."""
        try:
            self.db.execute("VACUUM")
        except schema.SQLITE_ERRORS as error:
            raise GalleryError(
                f"{self.path}: cannot write the file anew: {error}; is the disk full?"
            ) from error
        if not self.truncate_log():
            raise GalleryError(
                f"{self.path}: the write-ahead log cannot be emptied while another process reads; try again"
            )

    def assert_erased(self, gone: Sequence[bytes]) -> None:
        """Raises GalleryError where a piece of some deleted rows is still in a file."""
        if not self.truncate_log():
            raise GalleryError(
                "a sealed copy is still in the write-ahead log since another process reads or the disk is full"
            )
        with self.disconnected():
            secure_delete.sync_files(self.path)
            left = secure_delete.find_remnants(self.path, gone)
        if left:
            self.compact()
            with self.disconnected():
                secure_delete.sync_files(self.path)
                left = secure_delete.find_remnants(self.path, gone)
        if left:
            raise GalleryError("a sealed copy is still in the file")

    @contextmanager
    def disconnected(self) -> Iterator[None]:
        """The file for somebody else than SQLite: whoever closes a file gives up all locks that his process has on it."""
        self.db.close()
        try:
            yield
        finally:
            self._connect()

    def close(self) -> None:
        self.db.close()


def abbreviate(value: object) -> str:
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."
