"""Line of an audit log: hashed, chained and authenticated; its personal part is erasable.

    {"id":7,...,"commit":"..","hash":"..","mac":".."}  TAB  {"salt":"..","subject":".."}  newline

The public part is hashed byte by byte, together with the hash of the previous line. It contains the
digest of the personal part; its salt makes the digest useless once the personal part is blank. The
key of each record is derived from the previous key, which is forgotten: an attacker who reads a key
can forge no earlier record.
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

GENESIS = bytes(32)  # previous hash of the first record
KEY_BYTES = 32
SALT = "salt"
ID_JUMP_MAX = 10_000_000  # ids that may be skipped at once: each costs a derivation
LINE_MAX = 1 << 16  # bytes; a record of the writer has a few hundred
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
    """Parsed line."""

    id: int
    public: Mapping[str, Any]
    body: bytes  # public part as stored, without hash and MAC: the hashed bytes
    hash: bytes
    mac: bytes
    personal: bytes  # as stored: JSON, spaces once it is erased, or empty

    @property
    def is_erased(self) -> bool:
        """True if the line had a personal part that is blank."""
        return "commit" in self.public and not self.personal.strip(b" ")

    @property
    def is_intact(self) -> bool:
        """True if the personal part matches its digest, is erased, or is being erased."""
        personal = self.personal
        if personal.startswith(b" ") or personal.endswith(b" ") or not personal:
            return True
        return self.public.get("commit") == personal_digest(personal)


def build_line(
    public: Mapping[str, Any], personal: Mapping[str, Any], previous_hash: bytes, key: bytes
) -> tuple[bytes, bytes]:
    """Return a line and its hash. Raises ValueError for values that JSON does not have."""
    private = b""
    if personal:
        private = encode({SALT: secrets.token_hex(_SALT_BYTES), **personal}).encode()
        public = {**public, "commit": personal_digest(private)}
    body = encode(public)[:-1].encode()
    digest = record_hash(previous_hash, body)
    hash_hex, mac_hex = digest.hex().encode(), record_mac(key, digest).hex().encode()
    return b'%b,"hash":"%b","mac":"%b"}\t%b\n' % (body, hash_hex, mac_hex, private), digest


def parse_line(line: bytes) -> ChainLine | None:
    """Parse a line without its newline; None if it is no record."""
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


def record_hash(previous_hash: bytes, body: bytes) -> bytes:
    """Return the hash of a record: SHA-256 of the previous hash and the public part."""
    return hashlib.sha256(_HASHED + previous_hash + body).digest()


def record_mac(key: bytes, digest: bytes) -> bytes:
    """Return the MAC of a record's hash (HMAC-SHA256, first 128 bits)."""
    return hmac.digest(key, digest, "sha256")[:_MAC_BYTES]


def personal_digest(personal: bytes) -> str:
    """Return the SHA-256 of a personal part in hex."""
    return hashlib.sha256(personal).hexdigest()


def next_key(key: bytes, steps: int = 1) -> bytes:
    """Return the key of the record `steps` ids later; the derivation is one-way."""
    for _ in range(steps):
        key = hashlib.sha256(_STEPPED + key).digest()
    return key
