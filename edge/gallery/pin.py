"""Storage form of a PIN. The door does not ask for PINs yet."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from edge.errors import GalleryError

_DIGITS_MIN, _DIGITS_MAX = 4, 12
_SALT_BYTES, _HASH_BYTES = 16, 32
# OWASP's 19 MiB with 2 passes: RFC 9106's 64 MiB are too much for boards of 4 GB.
_PASSES, _MEMORY_KIB = 2, 19 * 1024


def hash_pin(pin: str, pepper: bytes) -> str:
    """Return the Argon2id hash (RFC 9106) of a PIN in PHC form.

    The pepper is stored apart from the hash; without it the PIN cannot be guessed offline.
    Raises GalleryError for an invalid PIN.
    """
    if not (pin.isascii() and pin.isdigit() and _DIGITS_MIN <= len(pin) <= _DIGITS_MAX):
        raise GalleryError(f"expected a PIN of {_DIGITS_MIN} to {_DIGITS_MAX} digits")
    hasher = Argon2id(
        salt=secrets.token_bytes(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=_PASSES,
        lanes=1,
        memory_cost=_MEMORY_KIB,
        secret=pepper,
    )
    return hasher.derive_phc_encoded(pin.encode())
