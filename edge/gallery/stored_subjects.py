"""Subjects with templates of all models, read row by row, and their form in JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery.database import Database
from edge.gallery.template_checks import find_flaw
from edge.names import name_key
from edge.subject import PersonRights, SubjectRecord, from_json, to_json


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
    """Decrypt a template; raises GalleryError or ValueError for a damaged row."""
    vector = np.frombuffer(
        gallery.cipher.decrypt(sealed, "template", number, subject, model), "<f4"
    )
    if flaw := find_flaw(vector, vector.size):
        raise GalleryError(flaw)
    kept = None if chip is None else gallery.cipher.decrypt(chip, "chip", number)
    return StoredTemplate(model, vector, kept)


def with_rights(person: StoredSubject, rights: Mapping[str, PersonRights]) -> StoredSubject:
    """Return a person with the rights at the door, by key of the name, unless they are unmoved."""
    unmoved = person.record.unmoved_rights or rights.get(name_key(person.name))
    return replace(person, record=replace(person.record, unmoved_rights=unmoved))


def subject_to_json(person: StoredSubject) -> dict[str, Any]:
    """Return a person as a JSON value."""
    return {
        "subject": to_json(person.name, person.record).decode(),
        "templates": [_base64(one.vector.astype("<f4").tobytes()) for one in person.templates],
        "chips": [None if one.chip is None else _base64(one.chip) for one in person.templates],
        "models": [one.model for one in person.templates],
    }


def subject_from_json(value: dict[str, Any]) -> StoredSubject:
    """Return a person of a file; raises GalleryError, ValueError, TypeError, KeyError."""
    name, record = from_json(value["subject"].encode())
    vectors = [_vector(row) for row in value["templates"]]
    chips = value["chips"] or [None] * len(vectors)
    models = value.get("models") or [""] * len(vectors)
    if not len(chips) == len(models) == len(vectors):
        raise ValueError("expected as many chips and models as templates")
    if not all(isinstance(model, str) for model in models):
        raise TypeError("expected the digest of a model")
    templates = [
        StoredTemplate(
            model, vector, None if chip is None else base64.b64decode(chip, validate=True)
        )
        for model, vector, chip in zip(models, vectors, chips, strict=True)
    ]
    return StoredSubject(name, record, tuple(templates))


def _vector(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
