"""What a gallery's key does: seal what is stored, name a subject without its name, hash a PIN."""

from __future__ import annotations

import hmac
import secrets

from cryptography.exceptions import InvalidKey, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from edge.errors import GalleryError
from edge.names import name_key
from edge.system.key_derivation import derive_key

NONCE_BYTES = 12
_TAG_BYTES = 16
SECRET_BYTES = 32
# RFC 9106, second recommended set, with less memory than its 64 MiB for boards of 4 GB: OWASP's 19 MiB with 2 passes.
_PASSES, _MEMORY_KIB = 2, 19 * 1024


class RowCipher:
    """AES-256-GCM with a fresh random nonce per write; each row is bound to what it is, so that no other takes its place."""

    def __init__(self, key: bytes, terminal: str) -> None:
        self._cipher = AESGCM(derive_key(key, "seal"))
        self._tags = derive_key(key, "tag")
        self._terminal = terminal

    def encrypt(self, plain: bytes, *bound_to: str | int) -> bytes:
        """Nonce and ciphertext; opens only with the same `bound_to`, key and terminal."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, self._context(bound_to))

    def decrypt(self, sealed: bytes, *bound_to: str | int) -> bytes:
        """Raises GalleryError where it was changed, or belongs elsewhere."""
        try:
            return self._cipher.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._context(bound_to)
            )
        except (InvalidTag, ValueError, TypeError) as error:
            raise GalleryError(
                f"{' '.join(map(str, bound_to[:2]))} cannot be unsealed: the row was changed"
            ) from error

    def name_tag(self, name: str) -> bytes:
        """By which a subject is found without its name being readable."""
        return hmac.digest(self._tags, name_key(name).encode(errors="surrogatepass"), "sha256")[
            :_TAG_BYTES
        ]

    def _context(self, bound_to: tuple[str | int, ...]) -> bytes:
        """No two lists of parts give the same bytes: each part carries its length."""
        parts = ("mfsa-edge/2", self._terminal, *map(str, bound_to))
        return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)


def hash_pin(pin: str, pepper: bytes) -> str:
    """Argon2id of a PIN (RFC 9106) in PHC form: without the pepper, which is not stored beside it, it cannot be tried out.
    Raises GalleryError for what is no PIN."""
    if not (pin.isascii() and pin.isdigit() and 4 <= len(pin) <= 12):
        raise GalleryError("expected a PIN of 4 to 12 digits")
    hasher = Argon2id(
        salt=secrets.token_bytes(16),
        length=32,
        iterations=_PASSES,
        lanes=1,
        memory_cost=_MEMORY_KIB,
        secret=pepper,
    )
    return hasher.derive_phc_encoded(pin.encode())


def is_pin(pin: str, hashed: str, pepper: bytes) -> bool:
    """Whether a PIN is the one that was hashed; never for a subject without one."""
    try:
        Argon2id.verify_phc_encoded(pin.encode(), hashed, secret=pepper)
    except (InvalidKey, ValueError):
        return False
    return True
