"""What of a record, and which pictures, only holders of the gallery's key may see."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import zlib
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.system.key_derivation import derive_key

_NONCE_BYTES = 12


class Sealer:
    """AES-256-GCM under a key of its own, made of the gallery's; bound to terminal, purpose and the number of the record."""

    def __init__(self, gallery_key: bytes, terminal: str, purpose: str) -> None:
        self._context = f"mfsa-edge evidence 1|{terminal}|{purpose}"
        self._cipher = AESGCM(derive_key(gallery_key, "evidence 1"))

    def seal(self, number: int, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, self._bound_to(number))

    def open(self, number: int, sealed: bytes) -> bytes | None:
        """None where key, terminal, purpose or number are others, or it was changed."""
        try:
            return self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound_to(number)
            )
        except (InvalidTag, ValueError):
            return None

    def seal_text(self, number: int, text: str) -> str:
        return base64.b64encode(self.seal(number, zlib.compress(text.encode()))).decode()

    def open_fields(self, number: int, sealed: str) -> dict[str, Any] | None:
        """What `seal_text` made of a JSON object."""
        try:
            plain = self.open(number, base64.b64decode(sealed, validate=True))
            found = json.loads(zlib.decompress(plain)) if plain is not None else None
        except (binascii.Error, zlib.error, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _bound_to(self, number: int) -> bytes:
        return f"{self._context}|{number}".encode()


def score_sealer(gallery_key: bytes, terminal: str) -> Sealer:
    """Of what helps whoever tries out faces, in the record of decisions."""
    return Sealer(gallery_key, terminal, "decisions")


def picture_sealer(gallery_key: bytes, terminal: str) -> Sealer:
    return Sealer(gallery_key, terminal, "pictures")
