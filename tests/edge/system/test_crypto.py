from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.system.crypto import AeadBox, DecryptionError

KEY = bytes(range(32))
NONCE = bytes(range(12))


def test_aead_layout_is_nonce_then_ciphertext() -> None:
    """Files on disk: 12 bytes of nonce, AES-256-GCM, `context` before `bound_to`."""
    stored = NONCE + AESGCM(KEY).encrypt(NONCE, b"plain", b"context|7")
    box = AeadBox(KEY, b"context|")
    assert box.decrypt(stored, b"7") == b"plain"
    sealed = box.encrypt(b"plain", b"7")
    assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], b"context|7") == b"plain"
    assert len(sealed) == len(stored)


def test_aead_nonce_is_fresh() -> None:
    box = AeadBox(KEY, b"")
    assert len({box.encrypt(b"same")[:12] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("box", "bound_to"),
    [
        (AeadBox(bytes(32), b"context"), b"7"),
        (AeadBox(KEY, b"other"), b"7"),
        (AeadBox(KEY, b"context"), b"8"),
    ],
)
def test_aead_of_other_key_or_place_fails(box: AeadBox, bound_to: bytes) -> None:
    sealed = AeadBox(KEY, b"context").encrypt(b"plain", b"7")
    with pytest.raises(DecryptionError):
        box.decrypt(sealed, bound_to)


@pytest.mark.parametrize("position", [0, 12, -1])
def test_aead_changed_byte_fails(position: int) -> None:
    box = AeadBox(KEY, b"context")
    sealed = bytearray(box.encrypt(b"plain"))
    sealed[position] ^= 1
    with pytest.raises(DecryptionError):
        box.decrypt(bytes(sealed))


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_aead_short_input_fails(length: int) -> None:
    with pytest.raises(DecryptionError):
        AeadBox(KEY, b"context").decrypt(bytes(length))
