"""Enrolled people, sealed in SQLite; another process may write while this one reads.

What is stored is biometric data, also when it is sealed: a template can be compared with any photo by whoever has key
and model. Pictures are in here only where the configuration keeps chips.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery import schema
from edge.gallery.database import EVIDENCE, PEPPER, Database, abbreviate
from edge.gallery.key import load_key
from edge.gallery.pin import hash_pin
from edge.gallery.spelling import normalize_names
from edge.gallery.template_checks import find_flaw, most_common_dimension
from edge.names import check_name, is_name
from edge.subject import SubjectRecord
from edge.system.accounts import acting_as_owner
from edge.system.crypto import NONCE_BYTES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One subject as it stands in the gallery."""

    name: str
    record: SubjectRecord
    templates: NDArray[np.float32]  # (n,D) of the store's model; (0,0) where there is none


@dataclass(frozen=True, slots=True)
class Changes:
    """What has happened since a revision."""

    revision: int  # to ask from the next time
    subjects: dict[int, Subject | None]  # by number; None: erased or left out
    row_versions: dict[int, bytes]  # by number; another mark means another content of the row


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """One template as far as it can be told without its numbers."""

    template: int
    model: str
    chip: bytes | None  # PNG, where it was kept


class GalleryStore(Database):
    """The gallery of one terminal, seen with one model; refuses any other by name.

    `changeover`: also where all templates are of other models, for whoever enrolls people again.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        terminal: str,
        model_digest: str,
        allow_other_models: bool = False,
        dimension: int | None = None,
        read_only: bool = False,
        renew_key: Callable[[], bytes] | None = None,
        lock_wait_s: float = schema.LOCK_WAIT_S,
    ) -> None:
        super().__init__(
            path,
            key=key,
            terminal=terminal,
            read_only=read_only,
            renew_key=renew_key,
            lock_wait_s=lock_wait_s,
        )
        self._dimension = dimension  # of the model; None: the dimension of most templates
        self.model = model_digest
        try:
            models = self.count_by_model()
        except GalleryError:
            self.close()
            raise
        if models and model_digest not in models and not allow_other_models:
            self.close()
            raise GalleryError(
                f"{path}: the gallery belongs to model {', '.join(map(abbreviate, models))}, "
                f"expected {abbreviate(model_digest)}; templates of different models cannot be "
                "compared: use that bundle again, or run edge-gallery migrate"
            )
        if not read_only:
            self._or_close(lambda: normalize_names(self))

    def enroll(
        self,
        name: str,
        embeddings: NDArray[np.float32],
        *,
        record: SubjectRecord | None = None,
        chips: Sequence[bytes | None] = (),
        replace: bool = False,
        known_only: bool = False,
    ) -> int:
        """Store templates (N,D) of one subject, all or none, durably; return their number.

        `record`: None leaves it as it is. `chips`: PNGs of the aligned faces to keep, None for a
        template without one. `replace`: remove all earlier templates, of any model. `known_only`:
        refuse a subject that is not enrolled, such as one that was removed meanwhile. Raises
        GalleryError.
        """
        if chips and len(chips) != len(embeddings):
            raise ValueError(
                f"expected a chip or None for each of {len(embeddings)} templates, found {len(chips)}"
            )
        gone: list[bytes] = []
        with self.write_transaction("the templates of the subject were not stored"):
            known = self.find_row(name)
            if known is None and known_only:
                raise _stranger(name)
            if known is None:
                check_name(name)
            if record is None:
                record = self.decrypt_subject(*known)[1] if known else SubjectRecord()
            if known and replace:
                gone = self._sealed(known[0])
                self.db.execute("DELETE FROM templates WHERE subject = ?", (known[0],))
            subject = self.write_subject(name, record, embeddings, self.model, chips)
            count = int(
                self.db.execute(
                    "SELECT count(*) FROM templates WHERE subject = ?", (subject,)
                ).fetchone()[0]
            )
        if gone:
            self._prove_gone("the subject is replaced", gone)
        return count

    def update_attributes(self, name: str, record: SubjectRecord) -> None:
        """Put a record in place of a subject's old one; durable on return. Raises GalleryError, also for a stranger."""
        with self.write_transaction("the subject was not changed"):
            if not self.find_row(name):
                raise _stranger(name)
            self.write_subject(name, record, np.zeros((0, 0), np.float32), self.model)

    def remove(self, name: str) -> int:
        """Erase a subject: record, templates and chips, overwritten in the file and then looked for there; how many templates.

        Raises GalleryError, also where a sealed copy is still in a file.
        """
        with self.write_transaction("the subject was not removed"):
            known = self.find_row(name)
            if known is None:
                return 0
            subject, _, sealed = known
            (count,) = self.db.execute(
                "SELECT count(*) FROM templates WHERE subject = ?", (subject,)
            ).fetchone()
            gone = [*_bytes(sealed), self.cipher.name_tag(name), *self._sealed(subject)]
            self.db.execute("DELETE FROM subjects WHERE id = ?", (subject,))
            self.db.execute("INSERT INTO erased VALUES (?, ?)", (subject, self.allocate_numbers(1)))
        self._prove_gone("the subject is removed", gone)
        return int(count)

    def _sealed(self, subject: int) -> list[bytes]:
        """What of a subject's templates and chips lies in the file."""
        rows = self.db.execute(
            "SELECT sealed FROM templates WHERE subject = :subject UNION ALL "
            "SELECT c.sealed FROM chips c JOIN templates t ON t.id = c.template WHERE t.subject = :subject",
            {"subject": subject},
        )
        return [blob for (sealed,) in rows for blob in _bytes(sealed)]

    def _prove_gone(self, done: str, gone: Sequence[bytes]) -> None:
        try:
            self.assert_erased(gone)
        except GalleryError as error:
            raise GalleryError(
                f"{self.path}: {done}, but {error}; run edge-gallery verify --repair"
            ) from error

    def set_pin(self, name: str, pin: str | None) -> None:
        """A subject's PIN, or none; raises GalleryError."""
        known = self.find_record(name)
        if known is None:
            raise _stranger(name)
        self.update_attributes(
            name,
            dataclasses.replace(
                known, pin="" if pin is None else hash_pin(pin, self.read_secret(PEPPER))
            ),
        )

    def changes(self, since: int = 0) -> Changes:
        """Return the subjects that changed after a revision, 0 for all.

        A damaged row is left out and reported; all other rows stay in use.
        Raises GalleryError if the gallery cannot be read, WrongKeyError if it got another key.
        """
        with self.read_transaction():
            self.check_key()
            revision_now = self.read_counter()
            rows = self.db.execute(
                "SELECT id, revision, sealed FROM subjects WHERE revision > ?", (since,)
            ).fetchall()
            templates = self.db.execute(  # subjects first, and no order asked for: else all templates are read to find the few
                "SELECT t.id, t.subject, t.sealed FROM subjects s CROSS JOIN templates t ON s.id = t.subject "
                "WHERE s.revision > ? AND t.model = ?",
                (since, self.model),
            ).fetchall()
            erased = (
                self.db.execute(
                    "SELECT subject FROM erased WHERE revision > ?", (since,)
                ).fetchall()
                if since
                else []
            )
        found: dict[int, Subject | None] = {int(subject): None for (subject,) in erased}
        vectors = self._vectors(templates)
        for subject, revision, sealed in rows:
            found[subject] = self._known(subject, revision, sealed, vectors.get(subject, []))
        marks = {subject: _mark(sealed) for subject, _, sealed in rows}
        return Changes(revision_now, found, marks)

    def _known(
        self, subject: int, revision: int, sealed: bytes, vectors: list[NDArray[np.float32]]
    ) -> Subject | None:
        try:
            name, record = self.decrypt_subject(subject, revision, sealed)
        except GalleryError as error:
            self._report(str(error))
            return None
        if not is_name(name):
            self._report(f"subject {subject}: its name is invalid")
            return None
        return Subject(name, record, np.stack(vectors) if vectors else np.zeros((0, 0), np.float32))

    def _vectors(
        self, rows: Sequence[tuple[int, int, bytes]]
    ) -> dict[int, list[NDArray[np.float32]]]:
        """Return the valid templates by subject."""
        unsealed = []
        for template, subject, sealed in rows:
            try:
                plain = self.cipher.decrypt(sealed, "template", template, subject, self.model)
                unsealed.append((template, subject, np.frombuffer(plain, "<f4")))
            except (GalleryError, ValueError) as error:
                self._report(f"template {template}: {error}")
        dimension = self._dimension or most_common_dimension(vector for _, _, vector in unsealed)
        found: dict[int, list[NDArray[np.float32]]] = {}
        for template, subject, vector in unsealed:
            if flaw := find_flaw(vector, dimension):
                self._report(f"template {template}: {flaw}")
            else:
                found.setdefault(subject, []).append(vector)
        return found

    def _report(self, flaw: str) -> None:
        log.error("%s: left out: %s; see edge-gallery verify", self.path, flaw)

    def row_versions(self) -> dict[int, bytes]:
        """Return each subject's mark, which changes with every write. Raises GalleryError."""
        with self.read_transaction():
            rows = self.db.execute("SELECT id, substr(sealed, 1, 12) FROM subjects").fetchall()
        return {subject: _mark(sealed) for subject, sealed in rows}

    def read_subjects(self) -> list[Subject]:
        """Everybody, by name. Raises GalleryError."""
        return sorted(
            (known for known in self.changes().subjects.values() if known is not None),
            key=lambda known: known.name,
        )

    def template_counts(self) -> dict[str, int]:
        """Templates of this model per subject, by name. Raises GalleryError."""
        return {known.name: len(known.templates) for known in self.read_subjects()}

    def load_templates(self) -> tuple[list[str], NDArray[np.float32]]:
        """Everybody's templates (N,D), row by row, with their names. Raises GalleryError."""
        known = [known for known in self.read_subjects() if len(known.templates)]
        names = [known.name for known in known for _ in known.templates]
        return names, np.vstack([known.templates for known in known]) if known else np.zeros(
            (0, 0), np.float32
        )

    def find_record(self, name: str) -> SubjectRecord | None:
        """What is known of a subject; None for a stranger. Raises GalleryError."""
        with self.read_transaction():
            found = self.find_row(name)
        return self.decrypt_subject(*found)[1] if found else None

    def list_templates(self, name: str) -> list[TemplateInfo]:
        """A subject's templates of all models, with their chips. Raises GalleryError."""
        with self.read_transaction():
            found = self.find_row(name)
            rows = self.db.execute(
                "SELECT t.id, t.model, c.sealed FROM templates t LEFT JOIN chips c ON c.template = t.id WHERE t.subject = ? "
                "ORDER BY t.id",
                (found[0] if found else 0,),
            ).fetchall()
        return [
            TemplateInfo(row, model, sealed and self.cipher.decrypt(sealed, "chip", row))
            for row, model, sealed in rows
        ]

    def read_chips(self, name: str) -> list[bytes]:
        """Return the chips of a subject, without damaged ones, which are reported.

        Raises GalleryError.
        """
        with self.read_transaction():
            found = self.find_row(name)
            rows = self.db.execute(
                "SELECT c.template, c.sealed FROM chips c JOIN templates t ON t.id = c.template "
                "WHERE t.subject = ? ORDER BY t.id",
                (found[0] if found else 0,),
            ).fetchall()
        chips = []
        for template, sealed in rows:
            try:
                chips.append(self.cipher.decrypt(sealed, "chip", template))
            except GalleryError as error:
                self._report(str(error))
        return chips

    def count_by_model(self) -> dict[str, int]:
        """Templates per model digest. Raises GalleryError."""
        with self.read_transaction():
            return dict(
                self.db.execute(
                    "SELECT model, count(*) FROM templates GROUP BY model ORDER BY model"
                ).fetchall()
            )

    def expired_subjects(self, day: date) -> list[str]:
        """Who is kept no longer on a day. Raises GalleryError."""
        return [
            known.name
            for known in self.read_subjects()
            if known.record.erase_on is not None and known.record.erase_on <= day
        ]

    def data_version(self) -> int:
        """Changes when another connection has committed; cheap enough for every frame."""
        try:
            return int(self.db.execute("PRAGMA data_version").fetchone()[0])
        except schema.SQLITE_ERRORS as error:
            raise GalleryError(f"{self.path}: cannot read the gallery: {error}") from error


def open_store(
    config: TerminalConfig,
    model_digest: str,
    key: bytes,
    *,
    allow_other_models: bool = False,
    dimension: int | None = None,
    read_only: bool = False,
    lock_wait_s: float = schema.LOCK_WAIT_S,
) -> GalleryStore:
    """Open a terminal's gallery, and make it if it does not exist yet. Raises GalleryError."""
    return GalleryStore(
        config.gallery_path,
        key=key,
        terminal=config.terminal,
        model_digest=model_digest,
        allow_other_models=allow_other_models,
        dimension=dimension,
        read_only=read_only,
        renew_key=lambda: load_key(config.key_path, create=False),
        lock_wait_s=lock_wait_s,
    )


def read_evidence_key(config: TerminalConfig) -> bytes:
    """Return the key of scores and pictures in the audit log.

    Root reads it with the rights of the gallery's owner. Raises GalleryError, OSError.
    """
    with acting_as_owner(config.key_path.parent):
        key = load_key(config.key_path, create=False)
    with acting_as_owner(config.state):
        gallery = Database(config.gallery_path, key=key, terminal=config.terminal, read_only=True)
        try:
            return gallery.read_secret(EVIDENCE)
        finally:
            gallery.close()


def _mark(sealed: object) -> bytes:
    """Return the nonce of a sealed row, fresh with every write."""
    return sealed[:NONCE_BYTES] if isinstance(sealed, bytes) else b""


def _bytes(sealed: object) -> list[bytes]:
    """Nothing for a number or a text that somebody put in its place."""
    return [sealed] if isinstance(sealed, bytes) else []


def _stranger(name: str) -> GalleryError:
    return GalleryError(f"{name!r} is not enrolled; edge-gallery list shows who is")
