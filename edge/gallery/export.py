"""Export of people to one encrypted file, and their import on another terminal of the site."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
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
    with_rights,
)
from edge.gallery.template_checks import most_common_dimension
from edge.names import name_key
from edge.subject import PersonRights

log = logging.getLogger(__name__)

EXPORT_MAGIC = b"mfsa-edge people 1\n"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of an import."""

    imported: tuple[str, ...] = ()  # names
    refused: dict[str, str] = field(default_factory=dict)  # why, by name


@dataclass(frozen=True, slots=True)
class ExportContent:
    """Content of a file of people."""

    path: Path
    model: str
    people: tuple[StoredSubject, ...]
    refused: dict[str, str]  # why, by place in the file


def build_export(
    store: GalleryStore,
    passphrase: str,
    names: Sequence[str] = (),
    rights: Mapping[str, PersonRights] = MappingProxyType({}),
) -> tuple[bytes, int]:
    """Return the content of a file of people, all unless some are named, and their number.

    It holds the templates of the store's models with their chips. `rights`: by key of the name.
    Raises GalleryError.
    """
    check_passphrase(passphrase)
    by_key = {name_key(person.name): person for person in read_subjects(store, _report)}
    if strangers := [name for name in names if name_key(name) not in by_key]:
        raise GalleryError(
            f"{', '.join(map(repr, strangers))}: not enrolled; edge-gallery list shows who is"
        )
    chosen = [by_key[key] for key in dict.fromkeys(map(name_key, names)) or by_key]
    _check_moved(chosen)
    people = [with_rights(_of_models(person, store.models), rights) for person in chosen]
    tree = {"model": store.model, "people": [subject_to_json(person) for person in people]}
    return encrypt_json(EXPORT_MAGIC, tree, passphrase), len(chosen)


def read_export(file: EncryptedFile, passphrase: str) -> ExportContent:
    """Return the people of a file. Raises GalleryError."""
    found = decrypt_json(EXPORT_MAGIC, file, passphrase, _people)
    people, refused = _read_each(found["people"])
    return ExportContent(file.path, found["model"], tuple(people), refused)


def import_people(
    store: GalleryStore,
    content: ExportContent,
    policy: ImportPolicy,
    *,
    dimension: int | None = None,
    replace: bool = False,
) -> ImportResult:
    """Enroll the people of a file by the rules of an enrollment; the others are refused by name.

    Their rights are the caller's task. `dimension`: of the model's embeddings; None: that of most
    templates. Raises GalleryError.
    """
    if content.model not in store.models:
        raise GalleryError(
            f"{content.path}: its templates are of model {content.model[:12]}, this terminal's is "
            f"{store.model[:12]}; export from a terminal with the same bundle"
        )
    refused, imported = dict(content.refused), []
    vectors = (template.vector for person in content.people for template in person.templates)
    wanted = dimension or most_common_dimension(vectors)
    here = set(map(name_key, store.template_counts()))
    for person in content.people:
        try:
            if name_key(person.name) in here and not replace:
                raise GalleryError("is enrolled already; use --replace, or remove it first")
            _check_replaceable(store, person.name)
            models = [template.model or content.model for template in person.templates]
            _enroll(store, person, models, policy, wanted, replaces=replace)
        except GalleryError as error:
            refused[person.name] = str(error)
        else:
            here.add(name_key(person.name))
            imported.append(person.name)
    return ImportResult(tuple(imported), refused)


def _enroll(
    store: GalleryStore,
    person: StoredSubject,
    models: Sequence[str],
    policy: ImportPolicy,
    dimension: int,
    *,
    replaces: bool,
) -> None:
    """Enroll a person of a file; raises GalleryError with the reason for a refusal."""
    vectors = [template.vector for template in person.templates]
    record = replace(policy.check(person.name, person.record), unmoved_rights=None)
    check_templates(vectors, dimension)
    if others := set(models) - store.models:
        raise GalleryError(f"has templates of model {', '.join(map(abbreviate, sorted(others)))}")
    store.enroll(
        person.name,
        np.stack(vectors),
        record=record,
        chips=[template.chip for template in person.templates],
        models=models,
        replace=replaces,
    )


def _of_models(person: StoredSubject, models: Collection[str]) -> StoredSubject:
    """Return the person with the templates of some models."""
    templates = tuple(template for template in person.templates if template.model in models)
    return StoredSubject(person.name, person.record, templates)


def _check_moved(people: Sequence[StoredSubject]) -> None:
    """Raise GalleryError for a person whose rights are not at the door yet."""
    for person in people:
        if person.record.unmoved_rights is not None:
            raise GalleryError(
                f"{person.name}: the rights are still in the gallery; "
                "run edge-gallery move-rights first"
            )


def _check_replaceable(store: GalleryStore, name: str) -> None:
    """Raise GalleryError if a person has rights in the gallery, which an import would drop."""
    record = store.find_record(name)
    if record is not None and record.unmoved_rights is not None:
        raise GalleryError("has rights in the gallery; run edge-gallery move-rights first")


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
