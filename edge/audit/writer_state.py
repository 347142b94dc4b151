"""State of a log's writer: the next key and the end of the log. It may be behind after a crash."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from edge.audit.chain import GENESIS, KEY_BYTES
from edge.errors import RecordError
from edge.system.atomic_files import NotRegularError, open_regular, read_regular, write_atomic

STATE = "state"
_SHAPE = struct.Struct(">QQQ32s32s")
_SUM_BYTES = 8
_SLOTS = 2
_SLOT_BYTES = 512  # a sector
ID_MAX = 1 << 63
_KEYS_MAX = 1 << 20  # bytes of the file of verification keys: more than ten thousand keys


@dataclass(frozen=True, slots=True)
class WriterState:
    """State after a record was written."""

    next_id: int
    key: bytes  # sealing key of the next record
    hash: bytes = GENESIS  # of the newest record
    durable: int = 0  # the newest record that was certainly on disk
    blanked_up_to: int = 0  # personal parts up to this record are erased

    def pack(self) -> bytes:
        """Return the content of the state file."""
        plain = _SHAPE.pack(self.next_id, self.durable, self.blanked_up_to, self.hash, self.key)
        return (plain + hashlib.sha256(plain).digest()[:_SUM_BYTES]).ljust(
            _SLOT_BYTES, b"\0"
        ) * _SLOTS


def _unpack(slot: bytes) -> WriterState | None:
    plain, found = slot[: _SHAPE.size], slot[_SHAPE.size : _SHAPE.size + _SUM_BYTES]
    if len(found) < _SUM_BYTES or hashlib.sha256(plain).digest()[:_SUM_BYTES] != found:
        return None
    next_id, durable, blanked, digest, key = _SHAPE.unpack(plain)
    return WriterState(next_id, key, digest, durable, blanked) if 0 < next_id < ID_MAX else None


class WriterStateFile:
    """State file of two equal slots, written in one call without fsync.

    No older key stays in it. If a power cut damages one slot, the other one is used.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError, ValueError if neither slot can be read."""
        self._fd = open_regular(path, os.O_RDWR)
        try:
            self.state = _newest(os.pread(self._fd, _SLOTS * _SLOT_BYTES, 0))
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, state: WriterState) -> None:
        """Write the state. Raises OSError; the state on disk is behind then."""
        os.pwrite(self._fd, state.pack(), 0)

    def close(self) -> None:
        os.close(self._fd)


def _newest(data: bytes) -> WriterState:
    found = [_unpack(data[slot * _SLOT_BYTES :]) for slot in range(_SLOTS)]
    if not any(found):
        raise ValueError("neither slot can be read")
    return max(
        (state for state in found if state), key=lambda state: (state.next_id, state.blanked_up_to)
    )


def read_state(folder: Path) -> WriterState | None:
    """Return the state, None if it is missing, damaged or not a regular file.

    Raises OSError if this account may not read it.
    """
    try:
        fd = open_regular(folder / STATE)
    except (FileNotFoundError, NotRegularError):
        return None
    try:
        return _newest(os.pread(fd, _SLOTS * _SLOT_BYTES, 0))
    except ValueError:
        return None
    finally:
        os.close(fd)


def write_state(folder: Path, state: WriterState) -> None:
    """Replace the state file. Raises OSError."""
    write_atomic(folder / STATE, state.pack())


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """First sealing key of a chain, and the id of its first record."""

    first_id: int
    key: bytes


def default_key_path(folder: Path) -> Path:
    """Return the file next to a log for a verification key that the writer made itself."""
    return folder.with_name(f"{folder.name}.key")


def read_keys(path: Path) -> list[VerificationKey]:
    """Return the keys, oldest first; empty without a file. Raises RecordError."""
    try:
        lines = read_regular(path, _KEYS_MAX).decode("ascii").splitlines()
        keys = [
            VerificationKey(int(number), bytes.fromhex(key))
            for number, key in (line.split() for line in lines)
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(
            f"{path}: the log's verification key cannot be read: {error.strerror}"
        ) from error
    except ValueError:
        keys = [VerificationKey(0, b"")]
    if any(key.first_id < 1 or len(key.key) != KEY_BYTES for key in keys):
        raise RecordError(
            f"{path}: expected lines of a record id and {2 * KEY_BYTES} hex digits; restore the "
            "file from your backup"
        )
    return keys


def write_keys(path: Path, keys: list[VerificationKey]) -> None:
    """Replace the key file. Raises OSError."""
    write_atomic(path, "".join(f"{key.first_id} {key.key.hex()}\n" for key in keys).encode())
