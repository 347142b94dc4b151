"""Encryption of record fields and evidence pictures for holders of the gallery key."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

from edge.system.crypto import AeadBox, DecryptionError
from edge.system.key_derivation import derive_key


class EvidenceCipher:
    """Encrypts evidence with a key derived from the gallery key.

    Each value is bound to the terminal, the purpose and the id of its record.
    """

    def __init__(self, gallery_key: bytes, terminal: str, purpose: str) -> None:
        context = f"mfsa-edge evidence 1|{terminal}|{purpose}|".encode()
        self._box = AeadBox(derive_key(gallery_key, "evidence 1"), context)

    def encrypt(self, record_id: int, plain: bytes) -> bytes:
        """Encrypt bytes for a record."""
        return self._box.encrypt(plain, str(record_id).encode())

    def decrypt(self, record_id: int, sealed: bytes) -> bytes | None:
        """Decrypt bytes of a record; None if key, terminal, purpose or id are others."""
        try:
            return self._box.decrypt(sealed, str(record_id).encode())
        except DecryptionError:
            return None

    def encrypt_text(self, record_id: int, text: str) -> str:
        """Compress and encrypt a text; return it in base64."""
        return base64.b64encode(self.encrypt(record_id, zlib.compress(text.encode()))).decode()

    def decrypt_fields(self, record_id: int, sealed: str) -> dict[str, Any] | None:
        """Decrypt a JSON object that `encrypt_text` encrypted; None if that is not possible."""
        try:
            plain = self.decrypt(record_id, base64.b64decode(sealed, validate=True))
            found = json.loads(zlib.decompress(plain)) if plain is not None else None
        except (binascii.Error, zlib.error, ValueError):
            return None
        return found if isinstance(found, dict) else None


def score_cipher(gallery_key: bytes, terminal: str) -> EvidenceCipher:
    """Return the cipher of scores and other fields in the audit log of decisions."""
    return EvidenceCipher(gallery_key, terminal, "decisions")


def picture_cipher(gallery_key: bytes, terminal: str) -> EvidenceCipher:
    """Return the cipher of evidence pictures."""
    return EvidenceCipher(gallery_key, terminal, "pictures")
