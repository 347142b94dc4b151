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
    """Made of the first key of the first chain. Raises RecordError where there is none."""
    if not first:
        raise RecordError(
            "expected the record's first key, found none; run edge-audit as root, who keeps it"
        )
    return Ed25519PrivateKey.from_private_bytes(derive_key(first[0].key, "head 1"))


def public_key_of(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def read_checkpoint(text: str, public_key: str | None) -> Checkpoint:
    """What such a file says; raises RecordError where it is none, or its signature is not by that key. None: not checked."""
    try:
        found: dict[str, Any] = read_json(text)
        signature = bytes.fromhex(found.pop("signature"))
        head = Checkpoint(**found)
        if not (
            type(head.id) is int
            and 0 < head.id < ID_MAX
            and isinstance(head.of, str)
            and len(bytes.fromhex(head.hash)) == 32
        ):
            raise ValueError("wrong kinds of values")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError("expected a file that `edge-audit head` made") from error
    if public_key is not None:
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
                signature, head._plain()
            )
        except ValueError as error:
            raise RecordError(
                "expected a public key of 64 hex digits, as `edge-audit head --public-key` prints it"
            ) from error
        except InvalidSignature as error:
            raise RecordError(
                "the head's signature is not by this record's key: it was changed, or is of another record"
            ) from error
    return head
