"""Encryption of the gallery's rows, and lookup tags of names, with keys derived from its key."""

from __future__ import annotations

import hmac

from edge.errors import GalleryError
from edge.names import name_key
from edge.system.crypto import AeadBox, DecryptionError
from edge.system.key_derivation import derive_key

SECRET_BYTES = 32
_TAG_BYTES = 16
_FORMAT = "mfsa-edge/2"


class RowCipher:
    """AES-256-GCM of rows; each row is bound to the terminal, its table, its number and more."""

    def __init__(self, key: bytes, terminal: str) -> None:
        self._box = AeadBox(derive_key(key, "seal"), _join(_FORMAT, terminal))
        self._tag_key = derive_key(key, "tag")

    def encrypt(self, plain: bytes, *bound_to: str | int) -> bytes:
        """Return nonce and ciphertext; decrypts only with the same `bound_to`, key and terminal."""
        return self._box.encrypt(plain, _join(*bound_to))

    def decrypt(self, sealed: bytes, *bound_to: str | int) -> bytes:
        """Return the plain text. Raises GalleryError if the row was changed or moved."""
        try:
            return self._box.decrypt(sealed, _join(*bound_to))
        except (DecryptionError, TypeError) as error:
            raise GalleryError(
                f"{' '.join(map(str, bound_to[:2]))} cannot be decrypted: the row was changed"
            ) from error

    def name_tag(self, name: str) -> bytes:
        """Return a keyed digest of a name: finds a subject while no name is readable."""
        spelled = name_key(name).encode(errors="surrogatepass")
        return hmac.digest(self._tag_key, spelled, "sha256")[:_TAG_BYTES]


def _join(*parts: str | int) -> bytes:
    """Join parts, each after its length: no two lists of parts give the same bytes."""
    encoded = [str(part).encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
