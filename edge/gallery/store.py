"""Enrolled people in an encrypted database; another process may write while this one reads.

Templates are biometric data even when encrypted: with the key and the model they can be compared
with any photo. Images are stored only if the configuration keeps chips.
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

_NO_TEMPLATES = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Subject with attributes and templates."""

    name: str
    record: SubjectRecord
    templates: NDArray[np.float32]  # (N,D) of the store's model; (0,0) without any


@dataclass(frozen=True, slots=True)
class Changes:
    """Subjects that changed after a revision."""

    revision: int  # of the last change
    subjects: dict[int, Subject | None]  # by number; None: erased or left out
    row_versions: dict[int, bytes]  # by number; differs after every write


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """Template without its vector."""

    template: int
    model: str
    chip: bytes | None  # PNG, if it was kept


class GalleryStore(Database):
    """Gallery of one terminal with the templates of one model.

    Raises GalleryError for a gallery of another model, unless `allow_other_models`.
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
        self._run_or_close(lambda: self._check_model(allow_other_models))
        if not read_only:
            self._run_or_close(lambda: normalize_names(self))

    def _check_model(self, allow_other_models: bool) -> None:
        models = self.count_by_model()
        if models and self.model not in models and not allow_other_models:
            raise GalleryError(
                f"{self.path}: the gallery belongs to model {', '.join(map(abbreviate, models))}, "
                f"expected {abbreviate(self.model)}; templates of different models cannot be "
                "compared: use that bundle again, or run edge-gallery migrate"
            )

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
        refuse a subject that is not enrolled, such as one that another process removed. Raises
        GalleryError.
        """
        if chips and len(chips) != len(embeddings):
            raise ValueError(
                f"expected a chip or None for each of {len(embeddings)} templates, "
                f"found {len(chips)}"
            )
        deleted: list[bytes] = []
        with self.write_transaction("the templates of the subject were not stored"):
            known = self.find_row(name)
            if known is None and known_only:
                raise _not_enrolled(name)
            if known is None:
                check_name(name)
            if record is None:
                record = self.decrypt_subject(*known)[1] if known else SubjectRecord()
            if known and replace:
                deleted = self._sealed_rows(known[0])
                self.db.execute("DELETE FROM templates WHERE subject = ?", (known[0],))
            subject = self.write_subject(name, record, embeddings, self.model, chips)
            count = self._count_templates(subject)
        if deleted:
            self._check_erased("the subject is replaced", deleted)
        return count

    def update_attributes(self, name: str, record: SubjectRecord) -> None:
        """Replace the attributes of a subject; durable on return.

        Raises GalleryError, also if the subject is not enrolled.
        """
        with self.write_transaction("the subject was not changed"):
            if not self.find_row(name):
                raise _not_enrolled(name)
            self.write_subject(name, record, _NO_TEMPLATES, self.model)

    def remove(self, name: str) -> int:
        """Erase a subject with templates and chips; return the number of templates.

        The files are searched for remnants. Raises GalleryError, also if there are any.
        """
        with self.write_transaction("the subject was not removed"):
            known = self.find_row(name)
            if known is None:
                return 0
            subject, _, sealed = known
            count = self._count_templates(subject)
            deleted = [*_blobs(sealed), self.cipher.name_tag(name), *self._sealed_rows(subject)]
            self.db.execute("DELETE FROM subjects WHERE id = ?", (subject,))
            self.db.execute("INSERT INTO erased VALUES (?, ?)", (subject, self.allocate_numbers(1)))
        self._check_erased("the subject is removed", deleted)
        return count

    def _count_templates(self, subject: int) -> int:
        (count,) = self.db.execute(
            "SELECT count(*) FROM templates WHERE subject = ?", (subject,)
        ).fetchone()
        return int(count)

    def _sealed_rows(self, subject: int) -> list[bytes]:
        """Return the encrypted templates and chips of a subject."""
        rows = self.db.execute(
            "SELECT sealed FROM templates WHERE subject = :subject UNION ALL "
            "SELECT c.sealed FROM chips c JOIN templates t ON t.id = c.template "
            "WHERE t.subject = :subject",
            {"subject": subject},
        )
        return [blob for (sealed,) in rows for blob in _blobs(sealed)]

    def _check_erased(self, done: str, deleted: Sequence[bytes]) -> None:
        try:
            self.assert_erased(deleted)
        except GalleryError as error:
            raise GalleryError(
                f"{self.path}: {done}, but {error}; run edge-gallery verify --repair"
            ) from error

    def set_pin(self, name: str, pin: str | None) -> None:
        """Store the hash of a subject's PIN, or remove it. Raises GalleryError."""
        record = self.find_record(name)
        if record is None:
            raise _not_enrolled(name)
        hashed = "" if pin is None else hash_pin(pin, self.read_secret(PEPPER))
        self.update_attributes(name, dataclasses.replace(record, pin=hashed))

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
            # CROSS JOIN keeps the order of the tables: few subjects, then their templates.
            templates = self.db.execute(
                "SELECT t.id, t.subject, t.sealed "
                "FROM subjects s CROSS JOIN templates t ON s.id = t.subject "
                "WHERE s.revision > ? AND t.model = ?",
                (since, self.model),
            ).fetchall()
            erased = self.db.execute(
                "SELECT subject FROM erased WHERE revision > ?1 AND ?1 > 0", (since,)
            ).fetchall()
        found: dict[int, Subject | None] = {int(subject): None for (subject,) in erased}
        vectors = self._vectors(templates)
        for subject, revision, sealed in rows:
            found[subject] = self._decrypt(subject, revision, sealed, vectors.get(subject, []))
        versions = {subject: _row_version(sealed) for subject, _, sealed in rows}
        return Changes(revision_now, found, versions)

    def _decrypt(
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
        return Subject(name, record, np.stack(vectors) if vectors else _NO_TEMPLATES)

    def _vectors(
        self, rows: Sequence[tuple[int, int, bytes]]
    ) -> dict[int, list[NDArray[np.float32]]]:
        """Return the valid templates by subject."""
        decrypted = []
        for template, subject, sealed in rows:
            try:
                plain = self.cipher.decrypt(sealed, "template", template, subject, self.model)
                decrypted.append((template, subject, np.frombuffer(plain, "<f4")))
            except (GalleryError, ValueError) as error:
                self._report(f"template {template}: {error}")
        dimension = self._dimension or most_common_dimension(vector for _, _, vector in decrypted)
        found: dict[int, list[NDArray[np.float32]]] = {}
        for template, subject, vector in decrypted:
            if flaw := find_flaw(vector, dimension):
                self._report(f"template {template}: {flaw}")
            else:
                found.setdefault(subject, []).append(vector)
        return found

    def _report(self, flaw: str) -> None:
        log.error("%s: left out: %s; see edge-gallery verify", self.path, flaw)

    def row_versions(self) -> dict[int, bytes]:
        """Return a value for each subject that differs after every write. Raises GalleryError."""
        with self.read_transaction():
            rows = self.db.execute("SELECT id, substr(sealed, 1, 12) FROM subjects").fetchall()
        return {subject: _row_version(sealed) for subject, sealed in rows}

    def read_subjects(self) -> list[Subject]:
        """Return all subjects, sorted by name. Raises GalleryError."""
        return sorted(
            (subject for subject in self.changes().subjects.values() if subject is not None),
            key=lambda subject: subject.name,
        )

    def template_counts(self) -> dict[str, int]:
        """Return the number of templates of this model by subject. Raises GalleryError."""
        return {subject.name: len(subject.templates) for subject in self.read_subjects()}

    def load_templates(self) -> tuple[list[str], NDArray[np.float32]]:
        """Return the subject of each template, and all templates (N,D). Raises GalleryError."""
        subjects = [subject for subject in self.read_subjects() if len(subject.templates)]
        if not subjects:
            return [], _NO_TEMPLATES
        names = [subject.name for subject in subjects for _ in subject.templates]
        return names, np.vstack([subject.templates for subject in subjects])

    def find_record(self, name: str) -> SubjectRecord | None:
        """Return the attributes of a subject; None if not enrolled. Raises GalleryError."""
        with self.read_transaction():
            found = self.find_row(name)
        return self.decrypt_subject(*found)[1] if found else None

    def list_templates(self, name: str) -> list[TemplateInfo]:
        """Return the templates of a subject, of all models. Raises GalleryError."""
        with self.read_transaction():
            found = self.find_row(name)
            rows = self.db.execute(
                "SELECT t.id, t.model, c.sealed FROM templates t "
                "LEFT JOIN chips c ON c.template = t.id WHERE t.subject = ? ORDER BY t.id",
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
        """Return the number of templates by model digest. Raises GalleryError."""
        with self.read_transaction():
            return dict(
                self.db.execute(
                    "SELECT model, count(*) FROM templates GROUP BY model ORDER BY model"
                ).fetchall()
            )

    def expired_subjects(self, day: date) -> list[str]:
        """Return the subjects whose day of erasure has come. Raises GalleryError."""
        return [
            known.name
            for known in self.read_subjects()
            if known.record.erase_on is not None and known.record.erase_on <= day
        ]


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


def _row_version(sealed: object) -> bytes:
    """Return the nonce of a sealed row, fresh with every write."""
    return sealed[:NONCE_BYTES] if isinstance(sealed, bytes) else b""


def _blobs(sealed: object) -> list[bytes]:
    """Return a list without values of another type, which only a changed row can hold."""
    return [sealed] if isinstance(sealed, bytes) else []


def _not_enrolled(name: str) -> GalleryError:
    return GalleryError(f"{name!r} is not enrolled; edge-gallery list shows who is")
