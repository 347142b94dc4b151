"""JSON in a file that a passphrase encrypts: backups and files of people."""

from __future__ import annotations

import json
import os
import secrets
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edge.errors import GalleryError
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import write_atomic
from edge.system.crypto import AeadBox, DecryptionError
from edge.system.strict_json import read_json

_SALT_BYTES = 16
_PASSPHRASE_MIN = 12
_FILE_MAX = 1 << 30
INVALID_JSON = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class EncryptedFile:
    """Content of a file that is still encrypted by its passphrase."""

    path: Path
    content: bytes


def check_passphrase(passphrase: str) -> None:
    """Raise GalleryError for a passphrase that is too short to protect a file."""
    if len(passphrase) < _PASSPHRASE_MIN:
        raise GalleryError(
            f"expected a passphrase of at least {_PASSPHRASE_MIN} characters, "
            f"found {len(passphrase)}"
        )
    if any("\ud800" <= character <= "\udfff" for character in passphrase):
        raise GalleryError("the passphrase is not UTF-8 text; set the terminal to UTF-8")


def encrypt_json(magic: bytes, value: dict[str, Any], passphrase: str) -> bytes:
    """Encrypt JSON by a passphrase: scrypt (RFC 7914, N=2^16, r=8), then AES-256-GCM."""
    salt = secrets.token_bytes(_SALT_BYTES)
    box = AeadBox(_derive_key(passphrase, salt), magic)
    return magic + salt + box.encrypt(json.dumps(value).encode())


def decrypt_json(
    magic: bytes,
    file: EncryptedFile,
    passphrase: str,
    parse: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Decrypt and parse the output of `encrypt_json`. Raises GalleryError."""
    if not file.content.startswith(magic):
        kind = magic.split()[1].decode()
        raise GalleryError(f"{file.path}: not a file of {kind}, or of another version")
    rest = file.content[len(magic) :]
    salt, encrypted = rest[:_SALT_BYTES], rest[_SALT_BYTES:]
    try:
        plain = AeadBox(_derive_key(passphrase, salt), magic).decrypt(encrypted)
    except DecryptionError as error:
        raise GalleryError(
            f"{file.path}: wrong passphrase, or the file was changed; check the passphrase"
        ) from error
    try:
        return parse(read_json(plain))
    except INVALID_JSON as error:
        raise GalleryError(f"{file.path}: invalid content: {error}; export again") from error


def read_encrypted_file(path: Path) -> EncryptedFile:
    """Read an encrypted file, before this process drops its privileges. Raises GalleryError."""
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


def _derive_key(passphrase: str, salt: bytes) -> bytes:
    """Return the same key for every Unicode spelling: keyboards and editors differ in it."""
    spelled = unicodedata.normalize("NFC", passphrase).encode()
    return Scrypt(salt=salt, length=32, n=1 << 16, r=8, p=1).derive(spelled)
