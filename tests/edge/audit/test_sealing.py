from __future__ import annotations

import base64
import json
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.audit.sealing import picture_cipher, score_cipher
from edge.system.key_derivation import derive_key

GALLERY_KEY = bytes(range(32))
NONCE = bytes(range(12))


def stored(plain: bytes, purpose: str, record_id: int) -> bytes:
    """Return a value in the layout of logs and pictures on disk, made by hand."""
    context = f"mfsa-edge evidence 1|lobby-1|{purpose}|{record_id}".encode()
    return NONCE + AESGCM(derive_key(GALLERY_KEY, "evidence 1")).encrypt(NONCE, plain, context)


def test_stored_scores_open() -> None:
    sealed = stored(zlib.compress(json.dumps({"score": 0.9}).encode()), "decisions", 7)
    text = base64.b64encode(sealed).decode()
    cipher = score_cipher(GALLERY_KEY, "lobby-1")
    assert cipher.decrypt_fields(7, text) == {"score": 0.9}
    assert cipher.decrypt_fields(8, text) is None
    assert cipher.decrypt_fields(7, cipher.encrypt_text(7, '{"votes": 3}')) == {"votes": 3}


def test_stored_picture_opens() -> None:
    cipher = picture_cipher(GALLERY_KEY, "lobby-1")
    assert cipher.decrypt(7, stored(b"png", "pictures", 7)) == b"png"
    assert cipher.decrypt(7, stored(b"png", "decisions", 7)) is None
    assert cipher.decrypt(7, cipher.encrypt(7, b"png")) == b"png"


def test_invalid_sealed_text_does_not_open() -> None:
    cipher = score_cipher(GALLERY_KEY, "lobby-1")
    found = [cipher.decrypt_fields(7, text) for text in ("", "x", "AAAA", "ü")]
    assert found == [None] * 4
