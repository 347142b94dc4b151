"""One line of a record: what is hashed, chained and authenticated in it, and what can be erased without breaking the chain.

    {"id":7,...,"commit":"..","hash":"..","mac":".."}  TAB  {"salt":"..","subject":".."}  newline

The public part is hashed byte by byte, together with the hash of the line before. Of the personal part it holds the digest
alone, and the salt makes that digest worthless once the personal part is blank. The key of each record is made of the one
before, which is forgotten: whoever takes it later can make no earlier record.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = bytes(32)  # in place of the hash before the first record
KEY_BYTES = 32
SALT = "salt"
ID_JUMP_MAX = 10_000_000  # a number so far from the one before is none of ours: its key takes too long to make
LINE_MAX = 1 << 16  # bytes; the writer's records have a few hundred
_SALT_BYTES = 16
_MAC_BYTES = 16
_HASHED = b"mfsa-edge record 1\n"
_STEPPED = b"mfsa-edge record key 1\n"
_SHAPE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})","mac":"([0-9a-f]{32})"\}')

encode = json.JSONEncoder(
    allow_nan=False, separators=(",", ":")
).encode  # ASCII: one line is one record


@dataclass(frozen=True, slots=True)
class ChainLine:
    """A line taken apart."""

    id: int
    public: Mapping[str, Any]
    body: bytes  # of the public part, as it stands: what is hashed
    hash: bytes
    mac: bytes
    personal: bytes  # as it stands: JSON, spaces once it is erased, or nothing

    @property
    def is_erased(self) -> bool:
        return "commit" in self.public and not self.personal.strip(b" ")

    @property
    def is_intact(self) -> bool:
        """Whether its personal part is as it was committed to, erased, or being erased."""
        personal = self.personal
        if personal.startswith(b" ") or personal.endswith(b" ") or not personal:
            return True
        return self.public.get("commit") == personal_digest(personal)


def build_line(
    public: Mapping[str, Any], personal: Mapping[str, Any], before: bytes, key: bytes
) -> tuple[bytes, bytes]:
    """A line, and its hash, which the next one needs. Raises ValueError for what is no JSON."""
    told = b""
    if personal:
        told = encode({SALT: secrets.token_hex(_SALT_BYTES), **personal}).encode()
        public = {**public, "commit": personal_digest(told)}
    body = encode(public)[:-1].encode()
    digest = record_hash(before, body)
    return b'%b,"hash":"%b","mac":"%b"}\t%b\n' % (
        body,
        digest.hex().encode(),
        record_mac(key, digest).hex().encode(),
        told,
    ), digest


def parse_line(line: bytes) -> ChainLine | None:
    """A line without its newline; None where it is none of ours."""
    if len(line) > LINE_MAX:
        return None
    public, tab, personal = line.partition(b"\t")
    shape = _SHAPE.fullmatch(public)
    if not tab or shape is None:
        return None
    try:
        fields = json.loads(public)
    except (ValueError, RecursionError):
        return None
    number = fields.get("id")
    if not isinstance(number, int) or number < 1:
        return None
    return ChainLine(
        number,
        fields,
        shape[1],
        bytes.fromhex(shape[2].decode()),
        bytes.fromhex(shape[3].decode()),
        personal,
    )


def record_hash(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(_HASHED + before + body).digest()


def record_mac(key: bytes, digest: bytes) -> bytes:
    return hmac.digest(key, digest, "sha256")[:_MAC_BYTES]


def personal_digest(personal: bytes) -> str:
    return hashlib.sha256(personal).hexdigest()


def next_key(key: bytes, steps: int = 1) -> bytes:
    """The key of the record so many numbers later; there is no way back."""
    for _ in range(steps):
        key = hashlib.sha256(_STEPPED + key).digest()
    return key
