"""Derivation of independent keys for separate purposes from one key (HKDF-SHA256, RFC 5869)."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive_key(key: bytes, purpose: str) -> bytes:
    """Return the key for a purpose."""
    return HKDF(SHA256(), KEY_BYTES, None, f"mfsa-edge {purpose}".encode()).derive(key)
