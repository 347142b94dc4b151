"""A signed statement of where a record ends: kept elsewhere, it shows later that a tail was cut off."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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
    """The newest record at a time, and the hash that stands for all before it."""

    of: str  # terminal/record
    id: int
    hash: str
    wall: float

    def signed_by(self, key: Ed25519PrivateKey) -> str:
        """As a JSON file."""
        return (
            json.dumps({**asdict(self), "signature": key.sign(self._plain()).hex()}, indent=1)
            + "\n"
        )

    def _plain(self) -> bytes:
        return _SIGNED + json.dumps(asdict(self), sort_keys=True).encode()


def signing_key(first: list[VerificationKey]) -> Ed25519PrivateKey:
    """Derive the signing key from the first verification key. Raises RecordError without a key."""
    if not first:
        raise RecordError(
            "expected the log's verification key, found none; run edge-audit as root, which keeps it"
        )
    return Ed25519PrivateKey.from_private_bytes(derive_key(first[0].key, "head 1"))


def public_key_of(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def read_checkpoint(text: str, public_key: str | None) -> Checkpoint:
    """What such a file says; raises RecordError where it is none, or its signature is not by that key. None: not checked."""
    try:
        found: dict[str, Any] = read_json(text)
        signature = bytes.fromhex(found.pop("signature"))
        checkpoint = Checkpoint(**found)
        if not (
            type(checkpoint.id) is int
            and 0 < checkpoint.id < ID_MAX
            and isinstance(checkpoint.of, str)
            and len(bytes.fromhex(checkpoint.hash)) == 32
        ):
            raise ValueError("wrong kinds of values")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError("expected a file that `edge-audit checkpoint` made") from error
    if public_key is not None:
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
                signature, checkpoint._plain()
            )
        except ValueError as error:
            raise RecordError(
                "expected a public key of 64 hex digits, as `edge-audit checkpoint --public-key` prints it"
            ) from error
        except InvalidSignature as error:
            raise RecordError(
                "the checkpoint's signature is not by this log's key: the file was changed, or is of "
                "another log"
            ) from error
    return checkpoint
