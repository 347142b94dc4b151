"""Signed checkpoints: kept elsewhere, they show later that a log was truncated or rewritten."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge.audit.writer_state import ID_MAX, VerificationKey
from edge.errors import RecordError
from edge.system.key_derivation import derive_key
from edge.system.strict_json import read_json

_SIGNED = b"mfsa-edge head 1\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """End of a log at a time: the hash of its newest record covers all records before it."""

    log_id: str  # terminal/log
    id: int
    hash: str
    wall_time_s: float

    def sign(self, key: Ed25519PrivateKey) -> str:
        """Return the signed checkpoint as the text of a JSON file."""
        signature = key.sign(self._signed_bytes()).hex()
        return json.dumps({**self._fields(), "signature": signature}, indent=1) + "\n"

    def check_signature(self, signature: bytes, public_key: str) -> None:
        """Raise RecordError if the signature is not by a public key, 64 hex digits."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
            key.verify(signature, self._signed_bytes())
        except ValueError as error:
            raise RecordError(
                f"public key {public_key[:80]!r}: expected 64 hex digits, as printed by "
                "`edge-audit checkpoint --public-key`"
            ) from error
        except InvalidSignature as error:
            raise RecordError(
                "the checkpoint's signature is not by this log's key: the file was changed, or is "
                "of another log"
            ) from error

    def _fields(self) -> dict[str, Any]:
        """Return the fields by their names in the file."""
        return {"of": self.log_id, "id": self.id, "hash": self.hash, "wall": self.wall_time_s}

    def _signed_bytes(self) -> bytes:
        return _SIGNED + json.dumps(self._fields(), sort_keys=True).encode()


def signing_key(keys: list[VerificationKey]) -> Ed25519PrivateKey:
    """Derive the signing key from the first verification key. Raises RecordError without a key."""
    if not keys:
        raise RecordError("expected the log's verification key, found none; run edge-audit as root")
    return Ed25519PrivateKey.from_private_bytes(derive_key(keys[0].key, "head 1"))


def public_key_hex(key: Ed25519PrivateKey) -> str:
    """Return the public key in hex digits."""
    return key.public_key().public_bytes_raw().hex()


def read_checkpoint(text: str, public_key: str | None) -> Checkpoint:
    """Read the text of a checkpoint file; `public_key` None: the signature is not checked.

    Raises RecordError if the text is no checkpoint or the signature is not by the key.
    """
    try:
        found: dict[str, Any] = read_json(text)
        signature = bytes.fromhex(found.pop("signature"))
        checkpoint = Checkpoint(found.pop("of"), wall_time_s=found.pop("wall"), **found)
        _check_types(checkpoint)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError("expected a file made by `edge-audit checkpoint`") from error
    if public_key is not None:
        checkpoint.check_signature(signature, public_key)
    return checkpoint


def _check_types(checkpoint: Checkpoint) -> None:
    """Raise ValueError or TypeError for fields of other types."""
    is_id = type(checkpoint.id) is int and 0 < checkpoint.id < ID_MAX
    if not (is_id and isinstance(checkpoint.log_id, str)):
        raise ValueError("log or id of another type")
    if len(bytes.fromhex(checkpoint.hash)) != 32:
        raise ValueError("hash of another length")
