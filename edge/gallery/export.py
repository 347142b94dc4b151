"""Export of people to one encrypted file, and their import on another terminal of the site."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.errors import GalleryError
from edge.gallery.database import abbreviate
from edge.gallery.encrypted_file import (
    INVALID_JSON,
    EncryptedFile,
    check_passphrase,
    decrypt_json,
    encrypt_json,
)
from edge.gallery.import_policy import ImportPolicy, check_templates
from edge.gallery.store import GalleryStore
from edge.gallery.stored_subjects import (
    StoredSubject,
    read_subjects,
    subject_from_json,
    subject_to_json,
)
from edge.gallery.template_checks import most_common_dimension
from edge.names import name_key

log = logging.getLogger(__name__)

EXPORT_MAGIC = b"mfsa-edge people 1\n"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of an import."""

    imported: int
    refused: dict[str, str] = field(default_factory=dict)  # why, by name


def build_export(
    store: GalleryStore, passphrase: str, names: Sequence[str] = ()
) -> tuple[bytes, int]:
    """Return the content of a file of people, all unless some are named, and their number.

    It holds the templates of the store's models with their chips. Raises GalleryError.
    """
    check_passphrase(passphrase)
    by_key = {name_key(person.name): person for person in read_subjects(store, _report)}
    if strangers := [name for name in names if name_key(name) not in by_key]:
        raise GalleryError(
            f"{', '.join(map(repr, strangers))}: not enrolled; edge-gallery list shows who is"
        )
    chosen = [by_key[key] for key in dict.fromkeys(map(name_key, names)) or by_key]
    people = [_of_models(person, store.models) for person in chosen]
    tree = {"model": store.model, "people": [subject_to_json(person) for person in people]}
    return encrypt_json(EXPORT_MAGIC, tree, passphrase), len(chosen)


def import_people(
    store: GalleryStore,
    file: EncryptedFile,
    passphrase: str,
    policy: ImportPolicy,
    *,
    dimension: int | None = None,
    replace: bool = False,
) -> ImportResult:
    """Enroll the people of a file by the rules of an enrollment; the others are refused by name.

    `dimension`: of the model's embeddings; None: that of most templates. Raises GalleryError.
    """
    found = decrypt_json(EXPORT_MAGIC, file, passphrase, _people)
    if found["model"] not in store.models:
        raise GalleryError(
            f"{file.path}: its templates are of model {found['model'][:12]}, this terminal's is "
            f"{store.model[:12]}; export from a terminal with the same bundle"
        )
    people, refused = _read_each(found["people"])
    wanted = dimension or most_common_dimension(t.vector for p in people for t in p.templates)
    here, taken = set(map(name_key, store.template_counts())), 0
    for person in people:
        try:
            if name_key(person.name) in here and not replace:
                raise GalleryError("is enrolled already; use --replace, or remove it first")
            models = [template.model or found["model"] for template in person.templates]
            _enroll(store, person, models, policy, wanted, replace=replace)
        except GalleryError as error:
            refused[person.name] = str(error)
        else:
            here.add(name_key(person.name))
            taken += 1
    return ImportResult(taken, refused)


def _enroll(
    store: GalleryStore,
    person: StoredSubject,
    models: Sequence[str],
    policy: ImportPolicy,
    dimension: int,
    *,
    replace: bool,
) -> None:
    """Enroll a person of a file; raises GalleryError with the reason for a refusal."""
    vectors = [template.vector for template in person.templates]
    record = policy.check(person.name, person.record)
    check_templates(vectors, dimension)
    if others := set(models) - store.models:
        raise GalleryError(f"has templates of model {', '.join(map(abbreviate, sorted(others)))}")
    store.enroll(
        person.name,
        np.stack(vectors),
        record=record,
        chips=[template.chip for template in person.templates],
        models=models,
        replace=replace,
    )


def _of_models(person: StoredSubject, models: Collection[str]) -> StoredSubject:
    """Return the person with the templates of some models."""
    templates = tuple(template for template in person.templates if template.model in models)
    return StoredSubject(person.name, person.record, templates)


def _people(tree: dict[str, Any]) -> dict[str, Any]:
    return {"model": str(tree["model"]), "people": list(tree["people"])}


def _read_each(trees: Sequence[Any]) -> tuple[list[StoredSubject], dict[str, str]]:
    """Return the people of a file, and the reasons for those that are invalid or occur twice."""
    people: dict[str, StoredSubject] = {}
    refused: dict[str, str] = {}
    for number, tree in enumerate(trees, start=1):
        try:
            person = subject_from_json(tree)
        except (GalleryError, *INVALID_JSON) as error:
            refused[f"person {number} of the file"] = f"invalid content: {error}"
            continue
        if people.setdefault(name_key(person.name), person) is not person:
            refused[f"person {number} of the file"] = "has the name of another person in the file"
    return list(people.values()), refused


def _report(flaw: str) -> None:
    log.error("left out: %s; see edge-gallery verify", flaw)
