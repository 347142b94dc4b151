"""Backup of a gallery in one encrypted file, and its restoration on the same or a new terminal."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edge.errors import GalleryError
from edge.gallery import schema, secure_delete
from edge.gallery.database import SECRETS, Database
from edge.gallery.encrypted_file import (
    EncryptedFile,
    check_passphrase,
    decrypt_json,
    encrypt_json,
)
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.sealing import SECRET_BYTES
from edge.gallery.stored_subjects import (
    StoredSubject,
    StoredTemplate,
    read_subjects,
    subject_from_json,
    subject_to_json,
    with_rights,
)
from edge.gallery.template_checks import find_flaw
from edge.names import name_key, normalize_name, unused_name
from edge.subject import PersonRights
from edge.system.atomic_files import sync_folder

log = logging.getLogger(__name__)

BACKUP_MAGIC = b"mfsa-edge backup 1\n"
_NEXT = ".restored"


@dataclass(frozen=True, slots=True)
class BackupContent:
    """Backup before it is written."""

    content: bytes
    people: int
    left_out: tuple[str, ...]  # damaged rows, by number


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """Result of a restoration."""

    people: int
    refused: dict[str, str]  # reason by name
    left_out: tuple[str, ...]  # templates, by name and number
    unmoved: int = 0  # people whose rights differ from those at the door


def build_backup(
    gallery: Database, passphrase: str, rights: Mapping[str, PersonRights] = MappingProxyType({})
) -> BackupContent:
    """Return the content of a backup. Raises GalleryError.

    It contains people with their rights, templates of all models, chips, and the keys of PINs and
    audit evidence, but not the gallery's own key. `rights`: at the door, by key of the name.
    """
    check_passphrase(passphrase)
    left_out: list[str] = []
    people = read_subjects(gallery, left_out.append)
    with gallery.read_transaction():
        counter = gallery.read_counter()
    tree = {
        "terminal": gallery.terminal,
        "counter": counter,
        "secrets": {name: base64.b64encode(gallery.read_secret(name)).decode() for name in SECRETS},
        "people": [subject_to_json(with_rights(person, rights)) for person in people],
    }
    return BackupContent(encrypt_json(BACKUP_MAGIC, tree, passphrase), len(people), tuple(left_out))


def restore_backup(
    path: Path,
    key: bytes,
    terminal: str,
    file: EncryptedFile,
    passphrase: str,
    policy: ImportPolicy,
    rights: Mapping[str, PersonRights] = MappingProxyType({}),
) -> RestoreResult:
    """Replace the gallery at `path` by that of a backup, encrypted by the terminal's key.

    The old file stays until the new one is complete. Rights that differ from those at the door are
    unmoved: a person with other limits is refused until they are moved. Raises GalleryError.
    """
    found = decrypt_json(BACKUP_MAGIC, file, passphrase, _parse)
    if found["terminal"] != terminal:
        raise GalleryError(
            f"{file.path}: a backup of terminal {found['terminal']!r}, this one is {terminal!r}; "
            "set `terminal:` to that name, or use edge-gallery export and import"
        )
    fresh = path.with_name(f"{path.name}{_NEXT}")
    _discard(fresh)
    try:
        with closing(Database(fresh, key=key, terminal=terminal)) as gallery:
            restored = _fill(gallery, found, policy, rights)
            gallery.compact()
        _put_in_place(fresh, path)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be restored: {error.strerror}") from error
    finally:
        _discard(fresh)
    return restored


def _parse(tree: dict[str, Any]) -> dict[str, Any]:
    kept = {name: base64.b64decode(tree["secrets"][name], validate=True) for name in SECRETS}
    if any(len(secret) != SECRET_BYTES for secret in kept.values()):
        raise ValueError(f"expected secrets of {SECRET_BYTES} bytes")
    if type(tree["counter"]) is not int or tree["counter"] < 0:
        raise ValueError(f"expected a counter, found {tree['counter']!r}")
    people = [subject_from_json(person) for person in tree["people"]]
    return {
        "terminal": str(tree["terminal"]),
        "counter": tree["counter"],
        "secrets": kept,
        "people": people,
    }


def _fill(
    gallery: Database,
    found: dict[str, Any],
    policy: ImportPolicy,
    rights: Mapping[str, PersonRights],
) -> RestoreResult:
    refused: dict[str, str] = {}
    left_out: list[str] = []
    unmoved = 0
    with gallery.write_transaction("the backup was not restored"):
        for name, secret in found["secrets"].items():
            sealed = gallery.cipher.encrypt(secret, name)
            gallery.db.execute("UPDATE meta SET value = ? WHERE name = ?", (sealed, name))
        for person in found["people"]:
            try:
                record = policy.check(person.name, person.record)
            except GalleryError as error:
                refused[person.name] = str(error)
                continue
            valid = _valid(person, left_out)
            name = _free_name(gallery, person.name)
            if record.unmoved_rights == rights.get(name_key(name)):
                record = replace(record, unmoved_rights=None)
            unmoved += record.unmoved_rights is not None
            _put(gallery, StoredSubject(name, record, tuple(valid)))
        counter = max(gallery.read_counter(), found["counter"])
        gallery.db.execute("UPDATE meta SET value = ? WHERE name = 'counter'", (counter,))
    return RestoreResult(len(found["people"]) - len(refused), refused, tuple(left_out), unmoved)


def _free_name(gallery: Database, name: str) -> str:
    """Return the one form of a name, with a number if a person restored before has it.

    A backup of an earlier version may hold one name in two spellings: these are two people.
    """
    wanted = normalize_name(name)
    fresh = unused_name(wanted, lambda other: gallery.find_row(other) is not None)
    if fresh != wanted:
        log.warning("a subject is now called %r: %r is enrolled in another spelling", fresh, wanted)
    return fresh


def _valid(person: StoredSubject, left_out: list[str]) -> Iterator[StoredTemplate]:
    for number, template in enumerate(person.templates, start=1):
        if flaw := find_flaw(template.vector, template.vector.size):
            left_out.append(f"{person.name}: template {number}: {flaw}")
        else:
            yield template


def _put(gallery: Database, person: StoredSubject) -> None:
    """Store a person within a transaction, the templates model by model."""
    if not person.templates:
        gallery.write_subject(person.name, person.record, np.zeros((0, 0), np.float32), "")
    for model in dict.fromkeys(template.model for template in person.templates):
        _put_templates(gallery, person, [one for one in person.templates if one.model == model])


def _put_templates(
    gallery: Database, person: StoredSubject, templates: Sequence[StoredTemplate]
) -> None:
    for size in dict.fromkeys(one.vector.size for one in templates):
        same = [one for one in templates if one.vector.size == size]
        vectors, chips = np.stack([one.vector for one in same]), [one.chip for one in same]
        gallery.write_subject(person.name, person.record, vectors, same[0].model, chips)


def _put_in_place(fresh: Path, path: Path) -> None:
    """Rename a complete gallery over another. Raises OSError, GalleryError.

    The write-ahead log of the old one is removed first: SQLite would apply it to the new file.
    """
    secure_delete.sync_files(fresh)
    with _write_locked(path):
        for ending in ("-wal", "-shm", "-journal"):
            path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
        fresh.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _write_locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing to a gallery, unless it is damaged."""
    if not path.is_file() or path.is_symlink():
        yield
        return
    try:
        db = schema.connect(path)
    except schema.SQLITE_ERRORS:
        yield
        return
    with closing(db):
        with contextlib.suppress(*schema.SQLITE_ERRORS):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("BEGIN IMMEDIATE")
        yield


def _discard(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            path.with_name(f"{path.name}{ending}").unlink()
