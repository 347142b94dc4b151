"""The bytes of encrypted rows, which galleries of every version share."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.errors import GalleryError
from edge.gallery.sealing import RowCipher
from edge.system.key_derivation import derive_key

KEY = bytes(range(32))
# Each part follows its length, in four bytes.
CONTEXT = b"\0\0\0\x0bmfsa-edge/2\0\0\0\5lobby\0\0\0\7subject\0\0\0\x0212"


def test_row_cipher_keeps_its_format() -> None:
    nonce, cipher = bytes(12), AESGCM(derive_key(KEY, "seal"))
    stored = nonce + cipher.encrypt(nonce, b"Ada", CONTEXT)
    rows = RowCipher(KEY, "lobby")
    assert rows.decrypt(stored, "subject", 12) == b"Ada"
    fresh = rows.encrypt(b"Ada", "subject", 12)
    assert cipher.decrypt(fresh[:12], fresh[12:], CONTEXT) == b"Ada"
    tag = hmac.digest(derive_key(KEY, "tag"), b"Ada", "sha256")[:16]
    assert rows.name_tag(" Ada ") == tag


@pytest.mark.parametrize("bound_to", [("subject", 13), ("template", 12), ("subject", 1, 2)])
def test_row_moved_is_refused(bound_to: tuple[str | int, ...]) -> None:
    rows = RowCipher(KEY, "lobby")
    with pytest.raises(GalleryError, match=r"cannot be decrypted: the row was changed"):
        rows.decrypt(rows.encrypt(b"Ada", "subject", 12), *bound_to)
