"""People in one encrypted file, from one terminal of a site to another."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import secrets
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery.import_policy import ImportPolicy, check_templates
from edge.gallery.store import GalleryStore
from edge.gallery.stored_subjects import StoredSubject, StoredTemplate, read_subjects
from edge.gallery.template_checks import most_common_dimension
from edge.names import name_key
from edge.subject import from_json, to_json
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import write_atomic
from edge.system.strict_json import read_json

log = logging.getLogger(__name__)

_MAGIC = b"mfsa-edge people 1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_PASSPHRASE_MIN = 12
_FILE_MAX = 1 << 30
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of an import."""

    imported: int
    refused: dict[str, str] = field(default_factory=dict)  # why, by name


@dataclass(frozen=True, slots=True)
class EncryptedFile:
    """Content of a file that is still encrypted by its passphrase."""

    path: Path
    content: bytes


def build_export(
    store: GalleryStore, passphrase: str, names: Sequence[str] = ()
) -> tuple[bytes, int]:
    """Return the content of a file of people, all unless some are named, and their number.

    It holds the templates of the store's model with their chips. Raises GalleryError.
    """
    check_passphrase(passphrase)
    by_key = {name_key(person.name): person for person in read_subjects(store, _report)}
    if strangers := [name for name in names if name_key(name) not in by_key]:
        raise GalleryError(
            f"{', '.join(map(repr, strangers))}: not enrolled; edge-gallery list shows who is"
        )
    chosen = [by_key[key] for key in dict.fromkeys(map(name_key, names)) or by_key]
    people = [_of_model(person, store.model) for person in chosen]
    tree = {"model": store.model, "people": [subject_to_json(person) for person in people]}
    return encrypt_tree(_MAGIC, tree, passphrase), len(chosen)


def export(store: GalleryStore, path: Path, passphrase: str, names: Sequence[str] = ()) -> int:
    """Write people to a file for another terminal; return how many. Raises GalleryError."""
    content, count = build_export(store, passphrase, names)
    write_encrypted_file(path, content)
    return count


def import_people(
    store: GalleryStore,
    file: EncryptedFile,
    passphrase: str,
    admission: ImportPolicy,
    *,
    dimension: int | None = None,
    replace: bool = False,
) -> ImportResult:
    """Enroll the people of a file by the rules of an enrollment; the others are refused by name.

    `dimension`: of the model's embeddings; None: that of most templates. Raises GalleryError.
    """
    found = decrypt_tree(_MAGIC, file, passphrase, _people)
    if found["model"] != store.model:
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
                raise GalleryError("is enrolled here already; use --replace, or remove it first")
            _enroll(store, person, admission, wanted, replace=replace)
        except GalleryError as error:
            refused[person.name] = str(error)
        else:
            here.add(name_key(person.name))
            taken += 1
    return ImportResult(taken, refused)


def _enroll(
    store: GalleryStore,
    person: StoredSubject,
    admission: ImportPolicy,
    dimension: int,
    *,
    replace: bool,
) -> None:
    """Enroll a person of a file; raises GalleryError with the reason for a refusal."""
    vectors = [template.vector for template in person.templates]
    record = admission.check(person.name, person.record)
    check_templates(vectors, dimension)
    chips = [template.chip for template in person.templates]
    store.enroll(person.name, np.stack(vectors), record=record, chips=chips, replace=replace)


def _of_model(person: StoredSubject, model: str) -> StoredSubject:
    """Return the person for another terminal: without the PIN, whose pepper stays here."""
    templates = tuple(template for template in person.templates if template.model == model)
    return StoredSubject(person.name, replace(person.record, pin=""), templates)


def _people(tree: dict[str, Any]) -> dict[str, Any]:
    return {"model": str(tree["model"]), "people": list(tree["people"])}


def _read_each(trees: Sequence[Any]) -> tuple[list[StoredSubject], dict[str, str]]:
    """Return the people of a file, and the reasons for those that are invalid or occur twice."""
    people: dict[str, StoredSubject] = {}
    refused: dict[str, str] = {}
    for number, tree in enumerate(trees, start=1):
        try:
            person = subject_from_json(tree)
        except (GalleryError, *_UNREADABLE) as error:
            refused[f"person {number} of the file"] = f"cannot be understood: {error}"
            continue
        if people.setdefault(name_key(person.name), person) is not person:
            refused[f"person {number} of the file"] = "has the name of another person in the file"
    return list(people.values()), refused


def subject_to_json(person: StoredSubject) -> dict[str, Any]:
    """Return a person as a JSON value."""
    return {
        "subject": to_json(person.name, person.record).decode(),
        "templates": [_text(one.vector.astype("<f4").tobytes()) for one in person.templates],
        "chips": [None if one.chip is None else _text(one.chip) for one in person.templates],
        "models": [one.model for one in person.templates],
    }


def subject_from_json(tree: dict[str, Any]) -> StoredSubject:
    """Return a person of a file; raises GalleryError, ValueError, TypeError, KeyError."""
    name, record = from_json(tree["subject"].encode())
    vectors = [_vector(row) for row in tree["templates"]]
    chips = tree["chips"] or [None] * len(vectors)
    models = tree.get("models") or [""] * len(vectors)
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


def check_passphrase(passphrase: str) -> None:
    """Raise GalleryError for a passphrase that is too short to protect a file."""
    if len(passphrase) < _PASSPHRASE_MIN:
        raise GalleryError(
            f"expected a passphrase of at least {_PASSPHRASE_MIN} characters, "
            f"found {len(passphrase)}"
        )
    if any("\ud800" <= character <= "\udfff" for character in passphrase):
        raise GalleryError("the passphrase is not UTF-8 text; set the terminal to UTF-8")


def encrypt_tree(magic: bytes, tree: dict[str, Any], passphrase: str) -> bytes:
    """Encrypt JSON by a passphrase: scrypt (RFC 7914, N=2^16, r=8), then AES-256-GCM."""
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    plain = json.dumps(tree).encode()
    return magic + salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, magic)


def decrypt_tree(
    magic: bytes,
    file: EncryptedFile,
    passphrase: str,
    parse: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Decrypt and parse the output of `encrypt_tree`. Raises GalleryError."""
    if not file.content.startswith(magic):
        kind = magic.split()[1].decode()
        raise GalleryError(f"{file.path}: not a file of {kind}, or of another version")
    rest = file.content[len(magic) :]
    salt, rest = rest[:_SALT_BYTES], rest[_SALT_BYTES:]
    nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
    try:
        plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, magic)
    except (InvalidTag, ValueError) as error:
        raise GalleryError(
            f"{file.path}: the passphrase is wrong, or the file was changed"
        ) from error
    try:
        return parse(read_json(plain))
    except _UNREADABLE as error:
        raise GalleryError(f"{file.path}: cannot be understood: {error}") from error


def read_encrypted_file(path: Path) -> EncryptedFile:
    """Read a sealed file, before this process gives up its rights. Raises GalleryError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as opened:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise GalleryError(f"{path}: cannot be read: not a regular file")
            if found.st_size > _FILE_MAX:
                raise GalleryError(
                    f"{path}: {found.st_size >> 20} MiB, larger than the {_FILE_MAX >> 20} MiB "
                    "such a file may have"
                )
            return EncryptedFile(path, opened.read())
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read: {error.strerror}") from error


def write_encrypted_file(path: Path, content: bytes) -> None:
    """Write a file atomically, with the rights of its folder's owner and only for that account.

    Raises GalleryError.
    """
    try:
        with acting_as_owner(path.parent):
            write_atomic(path, content)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be written: {error.strerror}") from error


def _key(passphrase: str, salt: bytes) -> bytes:
    """Return the same key for every Unicode spelling: keyboards and editors differ in it."""
    spelled = unicodedata.normalize("NFC", passphrase).encode()
    return Scrypt(salt=salt, length=32, n=1 << 16, r=8, p=1).derive(spelled)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _report(flaw: str) -> None:
    log.error("left out: %s; see edge-gallery verify", flaw)
