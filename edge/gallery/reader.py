"""Reading of a gallery: subjects, templates and chips, without damaged rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery.database import Database
from edge.gallery.template_checks import find_flaw, most_common_dimension
from edge.names import is_name
from edge.subject import SubjectRecord
from edge.system.crypto import NONCE_BYTES

log = logging.getLogger(__name__)

NO_TEMPLATES = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Subject with attributes and templates."""

    name: str
    record: SubjectRecord
    templates: NDArray[np.float32]  # (N,D) of the store's models; (0,0) without any


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


class GalleryReader(Database):
    """Readable part of a gallery with the templates of one model and of compatible models."""

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        terminal: str,
        model_digest: str,
        compatible_with: Sequence[str],
        dimension: int | None,
        read_only: bool,
        renew_key: Callable[[], bytes] | None,
        lock_wait_s: float,
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
        self.models = frozenset((model_digest, *compatible_with))  # whose templates are searched

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
            marks = ", ".join("?" * len(self.models))
            templates = self.db.execute(
                "SELECT t.id, t.subject, t.model, t.sealed "
                "FROM subjects s CROSS JOIN templates t ON s.id = t.subject "
                f"WHERE s.revision > ? AND t.model IN ({marks})",
                (since, *self.models),
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
        return Subject(name, record, np.stack(vectors) if vectors else NO_TEMPLATES)

    def _vectors(
        self, rows: Sequence[tuple[int, int, str, bytes]]
    ) -> dict[int, list[NDArray[np.float32]]]:
        """Return the valid templates by subject."""
        decrypted = []
        for template, subject, model, sealed in rows:
            try:
                plain = self.cipher.decrypt(sealed, "template", template, subject, model)
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
        """Return the number of templates of the store's models by subject. Raises GalleryError."""
        return {subject.name: len(subject.templates) for subject in self.read_subjects()}

    def load_templates(self) -> tuple[list[str], NDArray[np.float32]]:
        """Return the subject of each template, and all templates (N,D). Raises GalleryError."""
        subjects = [subject for subject in self.read_subjects() if len(subject.templates)]
        if not subjects:
            return [], NO_TEMPLATES
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


def _row_version(sealed: object) -> bytes:
    """Return the nonce of a sealed row, fresh with every write."""
    return sealed[:NONCE_BYTES] if isinstance(sealed, bytes) else b""
