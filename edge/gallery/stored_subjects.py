"""Reading of all people of a gallery with their templates, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery.database import Database
from edge.gallery.template_checks import find_flaw
from edge.subject import SubjectRecord


@dataclass(frozen=True, slots=True, eq=False)
class StoredTemplate:
    """Template with its model and chip."""

    model: str
    vector: NDArray[np.float32]  # (D,) of unit norm
    chip: bytes | None = None  # PNG, if it was kept


@dataclass(frozen=True, slots=True, eq=False)
class StoredSubject:
    """Subject with all templates."""

    name: str
    record: SubjectRecord
    templates: tuple[StoredTemplate, ...]


def read_subjects(gallery: Database, report: Callable[[str], None]) -> list[StoredSubject]:
    """Return all people, by number; a damaged row is left out and reported. Raises GalleryError."""
    with gallery.read_transaction():
        gallery.check_key()
        subjects = gallery.db.execute(
            "SELECT id, revision, sealed FROM subjects ORDER BY id"
        ).fetchall()
        rows = gallery.db.execute(
            "SELECT t.id, t.subject, t.model, t.sealed, c.sealed FROM templates t "
            "LEFT JOIN chips c ON c.template = t.id ORDER BY t.id"
        ).fetchall()
    templates: dict[int, list[StoredTemplate]] = {}
    for number, subject, model, sealed, chip in rows:
        try:
            template = _template(gallery, number, subject, model, sealed, chip)
            templates.setdefault(subject, []).append(template)
        except (GalleryError, ValueError) as error:
            report(f"template {number}: {error}")
    found = []
    for number, revision, sealed in subjects:
        try:
            name, record = gallery.decrypt_subject(number, revision, sealed)
            found.append(StoredSubject(name, record, tuple(templates.get(number, ()))))
        except GalleryError as error:
            report(f"subject {number}: {error}")
    return found


def _template(
    gallery: Database, number: int, subject: int, model: str, sealed: bytes, chip: bytes | None
) -> StoredTemplate:
    """Unseal a template; raises GalleryError or ValueError for a damaged row."""
    vector = np.frombuffer(
        gallery.cipher.decrypt(sealed, "template", number, subject, model), "<f4"
    )
    if flaw := find_flaw(vector, vector.size):
        raise GalleryError(flaw)
    kept = None if chip is None else gallery.cipher.decrypt(chip, "chip", number)
    return StoredTemplate(model, vector, kept)
