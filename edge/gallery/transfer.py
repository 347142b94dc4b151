"""People in one encrypted file, from one terminal of a site to another."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edge.durable import write_whole
from edge.errors import GalleryError
from edge.gallery.store import Store
from edge.parsing import read_json
from edge.subject import from_json, to_json

_MAGIC = b"mfsa-edge people 1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_PASSPHRASE_MIN = 12
_FILE_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of an import."""

    taken: int
    refused: dict[str, str] = field(default_factory=dict)  # why, by name


def export(store: Store, path: Path, passphrase: str, names: Sequence[str] = ()) -> int:
    """Write people, all unless some are named, with templates of the store's model and all chips; how many.

    The file opens with the passphrase alone: scrypt (RFC 7914, N=2^16, r=8), then AES-256-GCM. Raises GalleryError.
    """
    if len(passphrase) < _PASSPHRASE_MIN:
        raise GalleryError(
            f"expected a passphrase of at least {_PASSPHRASE_MIN} characters, found {len(passphrase)}"
        )
    everybody = {known.name: known for known in store.known()}
    if strangers := [name for name in names if name not in everybody]:
        raise GalleryError(
            f"{', '.join(map(repr, strangers))}: not enrolled; edge-gallery list shows who is"
        )
    chosen = [everybody[name] for name in names or everybody]
    people = []
    for known in chosen:
        chips = [kept.chip for kept in store.kept(known.name) if kept.model == store.model]
        record = replace(known.record, pin="")  # its pepper stays here
        people.append(
            {
                "subject": to_json(known.name, record).decode(),
                "templates": [_text(row.astype("<f4").tobytes()) for row in known.templates],
                "chips": [None if chip is None else _text(chip) for chip in chips],
            }
        )
    plain = json.dumps({"model": store.model, "people": people}).encode()
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    _write(
        path, _MAGIC + salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, _MAGIC)
    )
    return len(chosen)


def take(store: Store, path: Path, passphrase: str, *, replace: bool = False) -> Taken:
    """Enroll the people of a file; who is enrolled here already is refused unless replaced. Raises GalleryError."""
    found = _read(path, passphrase)
    if found["model"] != store.model:
        raise GalleryError(
            f"{path}: its templates are of model {found['model'][:12]}, this terminal's is {store.model[:12]}; "
            "export from a terminal with the same bundle"
        )
    here, refused, taken = store.subjects(), {}, 0
    for name, record, templates, chips in found["people"]:
        if name in here and not replace:
            refused[name] = "is enrolled here already; use --replace, or remove it first"
            continue
        store.enroll(name, templates, record=record, chips=chips, replace=replace)
        taken += 1
    return Taken(taken, refused)


def _read(path: Path, passphrase: str) -> dict[str, Any]:
    """Model and people, everything checked before anybody is enrolled."""
    try:
        if path.stat().st_size > _FILE_MAX:
            raise GalleryError(
                f"{path}: larger than the {_FILE_MAX >> 20} MiB such a file may have"
            )
        content = path.read_bytes()
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.startswith(_MAGIC):
        raise GalleryError(f"{path}: not a file of edge-gallery export, or of another version")
    rest = content[len(_MAGIC) :]
    salt, nonce, sealed = (
        rest[:_SALT_BYTES],
        rest[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES],
        rest[_SALT_BYTES + _NONCE_BYTES :],
    )
    try:
        plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, _MAGIC)
    except (InvalidTag, ValueError) as error:
        raise GalleryError(
            f"{path}: the passphrase is another one, or the file was changed"
        ) from error
    try:
        found = read_json(plain)
        return {
            "model": str(found["model"]),
            "people": [_person(person) for person in found["people"]],
        }
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        binascii.Error,
    ) as error:
        raise GalleryError(f"{path}: cannot be understood: {error}") from error


def _person(person: dict[str, Any]) -> tuple[Any, ...]:
    name, record = from_json(person["subject"].encode())
    rows = [
        np.frombuffer(base64.b64decode(row, validate=True), "<f4") for row in person["templates"]
    ]
    templates = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
    if not np.isfinite(templates).all():
        raise ValueError("a template that is not finite")
    if len(person["chips"]) not in (0, len(templates)):
        raise ValueError("another number of chips than of templates")
    return (
        name,
        record,
        templates,
        [
            None if chip is None else base64.b64decode(chip, validate=True)
            for chip in person["chips"]
        ],
    )


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=1 << 16, r=8, p=1).derive(passphrase.encode())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for the owner alone; raises GalleryError."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be written: {error.strerror}") from error
