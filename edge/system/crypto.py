"""Authenticated encryption: AES-256-GCM with a random nonce in front of the ciphertext."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class DecryptionError(ValueError):
    """The key or the context is another one, or the ciphertext was changed."""


class AeadBox:
    """AES-256-GCM (NIST SP 800-38D); the output is nonce | ciphertext | tag.

    `context` and the `bound_to` of each call, joined, are the associated data: the ciphertext
    decrypts only with the same key, context and `bound_to`.
    """

    def __init__(self, key: bytes, context: bytes) -> None:
        self._cipher = AESGCM(key)
        self._context = context

    def encrypt(self, plain: bytes, bound_to: bytes = b"") -> bytes:
        """Return nonce, ciphertext and tag; the nonce is fresh for each call."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, self._context + bound_to)

    def decrypt(self, sealed: bytes, bound_to: bytes = b"") -> bytes:
        """Return the plain text. Raises DecryptionError if it was changed or bound elsewhere."""
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, encrypted, self._context + bound_to)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError("the key or context is another one, or it was changed") from error
