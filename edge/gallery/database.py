"""Database of a gallery with encrypted rows, bound to one terminal and one key."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery import schema, sealing
from edge.gallery.identity import REMEDY, identify_file
from edge.gallery.sealing import RowCipher
from edge.gallery.sqlite_file import SqliteFile
from edge.subject import SubjectRecord, from_json, to_json

CHECK = b"the key of this gallery"
# Made with the gallery, and kept when its key changes: the key of scores and pictures in the audit
# log.
EVIDENCE = "evidence"
SECRETS = (EVIDENCE,)
_ABBREVIATED = 12  # characters of a digest


class WrongKeyError(GalleryError):
    """The gallery is encrypted by another key."""


@dataclass(frozen=True, slots=True)
class Position:
    """State of a gallery in a reader's memory, comparable with the state a writer stored."""

    device: int
    inode: int
    revision: int
    key_check: str  # digest; changes with the key


class Database(SqliteFile):
    """Rows of a gallery. Raises GalleryError for another terminal, key or schema.

    `read_only`: the file must exist, and is never changed. `renew_key` reads the key again after
    the gallery was encrypted by another one.
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
        self.terminal, self.cipher, self._renew_key = terminal, RowCipher(key, terminal), renew_key
        super().__init__(path, read_only=read_only, lock_wait_s=lock_wait_s)
        self._run_or_close(lambda: self._prepare(key))

    def reconnect(self) -> None:
        """Open the file that is at the path now. After a GalleryError no file is open."""
        self.db.close()
        self._connect()
        self._run_or_close(self._check)

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
            meta = schema.read_meta(self.db)
            if not meta:
                with self.transaction():
                    if not schema.read_meta(self.db):
                        schema.create_tables(self.db, self._new_meta())
            elif meta.get("schema") == schema.SCHEMA_V1:
                self._check_terminal(meta)
                self._upgrade(key)
        self._check()

    def _upgrade(self, key: bytes) -> None:
        with self.transaction():
            if schema.read_meta(self.db).get("schema") == schema.SCHEMA_V1:
                schema.upgrade_from_v1(self.db, key, self._new_meta(), self.write_subject)
        self.compact()

    def _new_meta(self) -> dict[str, str | int | bytes]:
        return {
            "terminal": self.terminal,
            "check": self.cipher.encrypt(CHECK, "check"),
            **{
                name: self.cipher.encrypt(secrets.token_bytes(sealing.SECRET_BYTES), name)
                for name in SECRETS
            },
        }

    def _check(self) -> None:
        """Raise GalleryError if the gallery is of another terminal, schema or key."""
        meta = schema.read_meta(self.db)
        if not meta:
            raise GalleryError(f"{self.path}: the file is empty, it is not a gallery; {REMEDY}")
        self._check_terminal(meta)
        self._check_meta(
            "schema", meta.get("schema"), schema.SCHEMA, "use the version that made it"
        )
        try:
            self.check_key()
        except WrongKeyError:
            if self._renew_key is None:
                raise
            with contextlib.suppress(GalleryError):  # this account may not read the key again
                self.cipher = RowCipher(self._renew_key(), self.terminal)
            self.check_key()

    def _check_terminal(self, meta: Mapping[str, object]) -> None:
        remedy = "set `terminal:` back, or enroll in another state folder"
        self._check_meta("terminal", meta.get("terminal"), self.terminal, remedy)

    def _check_meta(self, name: str, found: object, expected: object, remedy: str) -> None:
        if found != expected:
            raise GalleryError(
                f"{self.path}: the gallery belongs to {name} {abbreviate(found)}, "
                f"expected {abbreviate(expected)}; {remedy}"
            )

    def check_key(self) -> None:
        """Raise WrongKeyError if the gallery has another key, GalleryError if it is damaged."""
        check = self._read_key_check()
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

    def _read_key_check(self) -> bytes:
        found = self.db.execute("SELECT value FROM meta WHERE name = 'check'").fetchone()
        if not found or not isinstance(found[0], bytes):
            raise GalleryError(f"{self.path}: the key check value is missing: damaged; {REMEDY}")
        return found[0]

    def read_secret(self, name: str) -> bytes:
        """Return one of SECRETS. Raises GalleryError."""
        with self.read_transaction():
            row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return self.cipher.decrypt(row[0] if row else b"", name)

    def read_position(self) -> Position:
        """Return the position that identifies the gallery's state. Raises GalleryError."""
        with self.read_transaction():
            check, revision = self._read_key_check(), self.read_counter()
        return Position(*self.identity.file, revision, hashlib.sha256(check).hexdigest()[:16])

    @contextmanager
    def write_transaction(self, failure: str) -> Iterator[None]:
        """Run one transaction, durable when the block has ended.

        Raises GalleryError, with `failure` in its message, for errors of SQLite, and if the file
        was replaced or encrypted by another key since it was opened: the data would be lost.
        """
        try:
            with self.transaction():
                self.check_key()
                yield
                if identify_file(self.path).file != self.identity.file:
                    raise GalleryError(
                        f"{self.path}: the file was replaced during the work; run the command again"
                    )
        except schema.SQLITE_ERRORS as error:
            raise GalleryError(f"{self.path}: {failure}: {error}; nothing was changed") from error

    def allocate_numbers(self, count: int) -> int:
        """Reserve numbers that were never used, within a transaction; return the first."""
        counter = self.read_counter()
        self.db.execute("UPDATE meta SET value = ? WHERE name = 'counter'", (counter + count,))
        return counter + 1

    def read_counter(self) -> int:
        """Return the last number that was allocated. Raises GalleryError if it is missing."""
        found = self.db.execute("SELECT value FROM meta WHERE name = 'counter'").fetchone()
        if not found or not isinstance(found[0], int) or found[0] < 0:
            raise GalleryError(f"{self.path}: the counter is missing: damaged; {REMEDY}")
        return found[0]

    def find_row(self, name: str) -> tuple[int, int, bytes] | None:
        """Return number, revision and encrypted record of a subject, None if not enrolled."""
        found: tuple[int, int, bytes] | None = self.db.execute(
            "SELECT id, revision, sealed FROM subjects WHERE tag = ?",
            (self.cipher.name_tag(name),),
        ).fetchone()
        return found

    def decrypt_subject(
        self, subject: int, revision: int, sealed: bytes
    ) -> tuple[str, SubjectRecord]:
        """Return name and attributes of a row. Raises GalleryError."""
        return from_json(self.cipher.decrypt(sealed, "subject", subject, revision))

    def write_subject(
        self,
        name: str,
        record: SubjectRecord,
        embeddings: NDArray[np.float32],
        model: str,
        chips: Sequence[bytes | None] = (),
    ) -> int:
        """Replace the row of a subject and add templates, within a transaction.

        Returns the subject's number.
        """
        first = self.allocate_numbers(2 + len(embeddings))
        known = self.find_row(name)
        name = self._stored_spelling(known, name)
        revision, subject = first, known[0] if known else first + 1
        sealed = self.cipher.encrypt(to_json(name, record), "subject", subject, revision)
        self.db.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed",
            (subject, self.cipher.name_tag(name), revision, sealed),
        )
        for i, embedding in enumerate(embeddings):
            chip = chips[i] if chips else None
            self._write_template(first + 2 + i, subject, model, embedding, chip)
        return subject

    def _write_template(
        self,
        template: int,
        subject: int,
        model: str,
        embedding: NDArray[np.float32],
        chip: bytes | None,
    ) -> None:
        plain = np.asarray(embedding, "<f4").tobytes()
        sealed = self.cipher.encrypt(plain, "template", template, subject, model)
        row = (template, subject, model, sealed)
        self.db.execute("INSERT INTO templates VALUES (?, ?, ?, ?)", row)
        if chip is not None:
            sealed_chip = self.cipher.encrypt(chip, "chip", template)
            self.db.execute("INSERT INTO chips VALUES (?, ?)", (template, sealed_chip))

    def _stored_spelling(self, known: tuple[int, int, bytes] | None, name: str) -> str:
        """Return the stored spelling of a name, so that its joiners are not lost."""
        if known is None:
            return name
        try:
            return self.decrypt_subject(*known)[0]
        except GalleryError:  # the row is about to be replaced
            return name


def abbreviate(value: object) -> str:
    """Return a value for a message, the first characters of a digest."""
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:_ABBREVIATED]}..."
