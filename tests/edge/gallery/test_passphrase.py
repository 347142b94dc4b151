"""The cost of deriving a key from a passphrase."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edge.gallery.encrypted_file import EncryptedFile, decrypt_json, encrypt_json

MAGIC, PASSPHRASE = b"mfsa-edge people 1\n", "a horse of some other colour"


def test_passphrase_key_is_scrypt_of_full_cost() -> None:
    sealed = encrypt_json(MAGIC, {"people": []}, PASSPHRASE)
    rest = sealed.removeprefix(MAGIC)
    salt, nonce, encrypted = rest[:16], rest[16:28], rest[28:]
    key = Scrypt(salt=salt, length=32, n=1 << 16, r=8, p=1).derive(PASSPHRASE.encode())
    assert json.loads(AESGCM(key).decrypt(nonce, encrypted, MAGIC)) == {"people": []}


def test_passphrase_opens_what_it_sealed(tmp_path: Path) -> None:
    sealed = EncryptedFile(
        tmp_path / "people", encrypt_json(MAGIC, {"people": ["Ada"]}, PASSPHRASE)
    )
    assert decrypt_json(MAGIC, sealed, PASSPHRASE, dict) == {"people": ["Ada"]}
