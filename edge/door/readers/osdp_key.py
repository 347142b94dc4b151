"""Key of an OSDP secure channel (SCBK), read from a file that only its owner may read."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edge.errors import DoorError
from edge.system.atomic_files import open_regular

_BYTES = 16
_FILE_MAX = 64  # bytes: the digits and some white space
_DISTINCT_MIN = 6  # 16 random bytes have fewer distinct values once in 10^12
_DEFAULT = bytes(range(0x30, 0x40))  # SCBK-D of the standard, which is public
_MAKE = "make another one with: openssl rand -hex 16"


@dataclass(frozen=True, slots=True, repr=False)
class OsdpKey:
    """Secure channel base key of one reader."""

    value: bytes

    def __repr__(self) -> str:
        return "OsdpKey(hidden)"


def load_osdp_key(path: Path) -> OsdpKey:
    """Return the key of a file with 32 hexadecimal digits.

    Raises DoorError for a file that others may read, another content, the default key and keys
    that can be guessed. The key is never part of the message.
    """
    text = _read_private(path).strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{32}", text):
        raise DoorError(f"{path}: expected 32 hexadecimal digits, found something else; {_MAKE}")
    key = bytes.fromhex(text.decode("ascii"))
    if key == _DEFAULT:
        raise DoorError(f"{path}: this is the default key SCBK-D, which is public; {_MAKE}")
    if weakness := _weakness(key):
        raise DoorError(f"{path}: the key can be guessed: {weakness}; {_MAKE}")
    return OsdpKey(key)


def _weakness(key: bytes) -> str:
    """Return what makes a key easy to guess, or an empty string."""
    if len({(after - before) % 256 for before, after in pairwise(key)}) == 1:
        return "its bytes are equal or count"
    if key[:8] == key[8:]:
        return "its halves are equal"
    if len(set(key)) < _DISTINCT_MIN:
        return f"fewer than {_DISTINCT_MIN} different bytes"
    return ""


def _read_private(path: Path) -> bytes:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_FILE_MAX)
    except OSError as error:
        raise DoorError(
            f"{path}: the OSDP key cannot be read: {error.strerror}; see docs/wiring.md"
        ) from error
    if mode & 0o077:
        raise DoorError(
            f"{path}: other accounts may read the OSDP key (mode {mode:04o}); "
            f"correct it with: chmod 600 {path}"
        )
    return content
