"""Keyed digests of cards and PINs, and the file of their key."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from edge.door.readers.events import CardRead
from edge.errors import DoorError
from edge.names import name_key
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import create_atomic, open_regular

KEY_BYTES = SALT_BYTES = 32
# OWASP's row of 16 MiB: a wrong PIN costs an attacker as much as the door.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P, _MEMORY_MAX = 2**14, 8, 5, 64 << 20


class CredentialHasher:
    """Digests under a key that is stored apart from them: without it no PIN can be guessed.

    All PINs of a terminal share one salt, so one digest finds the owner of a PIN; the PINs
    of a terminal are unique, so equal digests reveal nothing.
    """

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._key = key
        self._salt = salt

    def __repr__(self) -> str:
        return "CredentialHasher(hidden)"

    def hash_card(self, card: CardRead) -> str:
        """Return the HMAC-SHA256 of a card's bits and their number, in hex."""
        return self._mac(b"card", card.bits.to_bytes(2, "big") + card.data.to_bytes(32, "big"))

    def hash_name(self, name: str) -> str:
        """Return the HMAC-SHA256 of a person's name, in hex: spellings of one name are equal."""
        return self._mac(b"name", name_key(name).encode())

    def hash_pin(self, digits: str) -> str:
        """Return the HMAC-SHA256 of the scrypt hash of a PIN, in hex. Slow and memory-hard."""
        slow = hashlib.scrypt(
            digits.encode(),
            salt=self._salt,
            n=_SCRYPT_N,
            r=_SCRYPT_R,
            p=_SCRYPT_P,
            maxmem=_MEMORY_MAX,
            dklen=32,
        )
        return self._mac(b"pin", slow)

    def _mac(self, purpose: bytes, data: bytes) -> str:
        return hmac.new(self._key, purpose + b"\0" + data, hashlib.sha256).hexdigest()


def load_credential_key(path: Path, *, create: bool) -> bytes:
    """Return the key of the credentials. `create`: make a missing one. Raises DoorError."""
    try:
        if create:
            with acting_as_owner(path.parent):
                create_atomic(path, secrets.token_bytes(KEY_BYTES))
        with acting_as_owner(path):  # root may lack the right to read files of others
            fd = open_regular(path)
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_mode & 0o077:
                raise OSError(errno.EPERM, "other accounts may read it; chmod 600", str(path))
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise DoorError(
            f"{path}: the key of the credentials cannot be used: {error.strerror}; "
            "correct it, or restore a backup"
        ) from error
    if len(key) != KEY_BYTES:
        found = "more" if len(key) > KEY_BYTES else len(key)
        raise DoorError(
            f"{path}: expected a key of {KEY_BYTES} bytes, found {found}; restore a backup"
        )
    return key
