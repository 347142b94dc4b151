"""What a record's writer must remember: the present key, and where the record ends. It may lag behind, and is evolved then."""

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
    """Of a record, after a line of it was written."""

    next_id: int
    key: bytes  # of the next record
    hash: bytes = GENESIS  # of the newest record
    durable: int = 0  # the newest record that was on disk for certain
    blanked_up_to: int = 0  # personal parts up to this record are erased

    def pack(self) -> bytes:
        """The whole file."""
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
    """Two slots with the same in them, written at once and without waiting for the disk: no older key stays, and one that is spoilt
    by a lost power leaves the other."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, and ValueError where neither slot can be read."""
        self._fd = open_regular(path, os.O_RDWR)
        try:
            self.state = _newest(os.pread(self._fd, _SLOTS * _SLOT_BYTES, 0))
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, state: WriterState) -> None:
        """Raises OSError; then the state on disk lags behind."""
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
    """In place of what was there. Raises OSError."""
    write_atomic(folder / STATE, state.pack())


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """With which a chain began, and at which record."""

    first_id: int
    key: bytes


def default_key_path(folder: Path) -> Path:
    """Where a process puts a verification key that it had to make itself: beside the record."""
    return folder.with_name(f"{folder.name}.key")


def read_keys(path: Path) -> list[VerificationKey]:
    """In the order in which they were made; none where there is no file. Raises RecordError."""
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
            f"{path}: expected lines of a record's number and {2 * KEY_BYTES} hex digits; restore the right file"
        )
    return keys


def write_keys(path: Path, keys: list[VerificationKey]) -> None:
    """Raises OSError."""
    write_atomic(path, "".join(f"{key.first_id} {key.key.hex()}\n" for key in keys).encode())
