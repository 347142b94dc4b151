"""The open database of a gallery: key and terminal proved, whole transactions, files without leftovers."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery import residue, schema, sealing
from edge.gallery.sealing import Seal
from edge.subject import SubjectRecord, from_json, to_json

CHECK = b"the key of this gallery"
# Made with the gallery, and the same after a change of its key: what PIN hashes need besides the PIN, and what seals scores and
# pictures in records.
SECRETS = PEPPER, EVIDENCE = "pepper", "evidence"


class Database:
    """SQLite with every row sealed. Raises GalleryError for another terminal, key or schema, by name."""

    def __init__(self, path: Path, *, key: bytes, terminal: str) -> None:
        self.path, self.terminal = path, terminal
        self.seal = Seal(key, terminal)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(
                os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            )  # for nobody else, before SQLite would make it
            self.db = schema.connect(path)
        except (OSError, *schema.DAMAGE) as error:
            raise self._unopened(error) from error
        try:
            self._prepare(key)
        except BaseException as error:
            self.db.close()
            if isinstance(error, schema.DAMAGE):
                raise self._unopened(error) from error
            raise

    def _unopened(self, error: Exception) -> GalleryError:
        return GalleryError(
            f"{self.path}: cannot open the gallery: {error}; check that the folder exists and is yours"
        )

    def _prepare(self, key: bytes) -> None:
        """Make or upgrade the tables, and see that they are of this terminal and key."""
        if not (meta := schema.read_meta(self.db)):
            with self.writing():
                if not (meta := schema.read_meta(self.db)):
                    schema.create(self.db, self._fresh_meta())
                    meta = schema.read_meta(self.db)
        self._demand(
            "terminal",
            meta.get("terminal"),
            self.terminal,
            "set `terminal:` back, or enroll in another state folder",
        )
        if meta.get("schema") == schema.FIRST:
            self._upgrade(key)
            meta = schema.read_meta(self.db)
        self._demand("schema", meta.get("schema"), schema.SCHEMA, "use the version that made it")
        self.prove_key()

    def _fresh_meta(self) -> dict[str, str | int | bytes]:
        return {
            "terminal": self.terminal,
            "check": self.seal.close(CHECK, "check"),
            **{
                name: self.seal.close(secrets.token_bytes(sealing.SECRET_BYTES), name)
                for name in SECRETS
            },
        }

    def secret(self, name: str) -> bytes:
        """One of SECRETS; raises GalleryError."""
        with self.reading():
            (sealed,) = self.db.execute(
                "SELECT value FROM meta WHERE name = ?", (name,)
            ).fetchone() or (b"",)
        return self.seal.open(sealed, name)

    def _upgrade(self, key: bytes) -> None:
        with self.writing():
            if schema.read_meta(self.db).get("schema") == schema.FIRST:
                schema.upgrade(self.db, key, self._fresh_meta(), self.put)
        self.compact()

    def _demand(self, name: str, found: object, expected: object, mend: str) -> None:
        if found != expected:
            raise GalleryError(
                f"{self.path}: the gallery belongs to {name} {short(found)}, expected {short(expected)}; {mend}"
            )

    def prove_key(self) -> None:
        """Raises GalleryError unless what the gallery says of its key is sealed by ours."""
        (check,) = self.db.execute("SELECT value FROM meta WHERE name = 'check'").fetchone() or (
            None,
        )
        try:
            if isinstance(check, bytes) and self.seal.open(check, "check") == CHECK:
                return
        except GalleryError as error:
            raise GalleryError(
                f"{self.path}: the key is not the one of this gallery; restore key and gallery together; after edge-gallery "
                "rotate-key start the recogniser again, and where that was interrupted run it again"
            ) from error
        raise GalleryError(
            f"{self.path}: the gallery cannot tell its key: it is damaged; restore a backup"
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: whole or not at all, and on disk when the block has ended."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    @contextmanager
    def changing(self, what: str) -> Iterator[None]:
        """The same, with SQLite's errors as ours: `what` did not happen."""
        try:
            with self.writing():
                yield
        except schema.DAMAGE as error:
            raise GalleryError(f"{self.path}: {what}: {error}; nothing was changed") from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One moment of the gallery, whatever others commit meanwhile; SQLite's errors as ours."""
        try:
            self.db.execute("BEGIN")
            try:
                yield
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
        except schema.DAMAGE as error:
            raise GalleryError(f"{self.path}: cannot read the gallery: {error}") from error

    def numbers(self, count: int) -> int:
        """So many numbers that nobody has had; the first. Within a transaction."""
        counter = self.counter()
        self.db.execute("UPDATE meta SET value = ? WHERE name = 'counter'", (counter + count,))
        return counter + 1

    def counter(self) -> int:
        """The last number that was given; raises GalleryError where the gallery does not know it."""
        found = self.db.execute("SELECT value FROM meta WHERE name = 'counter'").fetchone()
        if not found or not isinstance(found[0], int) or found[0] < 0:
            raise GalleryError(
                f"{self.path}: the gallery has lost its counter: it is damaged; restore a backup"
            )
        return found[0]

    def find(self, name: str) -> tuple[int, int, bytes] | None:
        """Number, revision and sealed record of a subject."""
        found: tuple[int, int, bytes] | None = self.db.execute(
            "SELECT id, revision, sealed FROM subjects WHERE tag = ?", (self.seal.tag(name),)
        ).fetchone()
        return found

    def unseal(self, subject: int, revision: int, sealed: bytes) -> tuple[str, SubjectRecord]:
        return from_json(self.seal.open(sealed, "subject", subject, revision))

    def put(
        self,
        name: str,
        record: SubjectRecord,
        embeddings: NDArray[np.float32],
        model: str,
        chips: Sequence[bytes | None] = (),
    ) -> int:
        """Within a transaction: the subject's row anew, and rows for more templates; the subject's number."""
        first = self.numbers(2 + len(embeddings))
        known = self.find(name)
        revision, subject = first, known[0] if known else first + 1
        self.db.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, sealed = excluded.sealed",
            (
                subject,
                self.seal.tag(name),
                revision,
                self.seal.close(to_json(name, record), "subject", subject, revision),
            ),
        )
        for i, embedding in enumerate(embeddings):
            template = first + 2 + i
            sealed = self.seal.close(
                np.asarray(embedding, "<f4").tobytes(), "template", template, subject, model
            )
            self.db.execute(
                "INSERT INTO templates VALUES (?, ?, ?, ?)", (template, subject, model, sealed)
            )
            if chips and (chip := chips[i]) is not None:
                self.db.execute(
                    "INSERT INTO chips VALUES (?, ?)",
                    (template, self.seal.close(chip, "chip", template)),
                )
        return subject

    def empty_log(self) -> bool:
        """Whether the write-ahead log is empty now; not while another process reads, or where the disk is full."""
        try:
            return not self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except schema.DAMAGE:
            return False

    def compact(self) -> None:
        """Write the file anew, without anything that was deleted. Raises GalleryError."""
        try:
            self.db.execute("VACUUM")
        except schema.DAMAGE as error:
            raise GalleryError(
                f"{self.path}: cannot write the file anew: {error}; is the disk full?"
            ) from error
        if not self.empty_log():
            raise GalleryError(
                f"{self.path}: the write-ahead log cannot be emptied while another process reads; try again"
            )

    def prove_gone(self, gone: Sequence[bytes]) -> None:
        """Raises GalleryError where a piece of some deleted rows is still in a file."""
        if not self.empty_log():
            raise GalleryError(
                "a sealed copy is still in the write-ahead log since another process reads or the disk is full"
            )
        with self.released():
            residue.sync(self.path)
            left = residue.is_left(self.path, gone)
        if left:
            self.compact()
            with self.released():
                residue.sync(self.path)
                left = residue.is_left(self.path, gone)
        if left:
            raise GalleryError("a sealed copy is still in the file")

    @contextmanager
    def released(self) -> Iterator[None]:
        """The file for somebody else than SQLite: whoever closes a file gives up all locks that his process has on it."""
        self.db.close()
        try:
            yield
        finally:
            try:
                self.db = schema.connect(self.path)
            except schema.DAMAGE as error:
                raise self._unopened(error) from error

    def close(self) -> None:
        self.db.close()


def short(value: object) -> str:
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."
