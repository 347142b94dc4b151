"""SHA-256 digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

SHA256_PATTERN = r"^[0-9a-f]{64}$"
_BLOCK_BYTES = 1 << 20


def stream_digest(file: BinaryIO) -> str:
    """Return the SHA-256 of the rest of an open file, as hex."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hex. Raises OSError."""
    with path.open("rb") as file:
        return stream_digest(file)
