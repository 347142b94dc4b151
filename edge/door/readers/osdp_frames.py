"""OSDP frames on a serial line: only frames that the secure channel protects may pass.

libosdp 3.2.9 accepts any reply without a message authentication code if its security block has
the type of a handshake frame (0x11 to 0x14), also in an active secure channel. This filter drops
such frames, and everything that is no frame.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass

_SOM = 0x53
_MARK = b"\xff"  # byte that may precede a frame
_HEADER = 5  # start, address, two of length, control
_LENGTH_MAX = 250  # libosdp's packet buffer holds 256
_BUFFER_MAX = 1024
_FROM_READER = 0x80
_CRC, _SECURITY_BLOCK = 0x04, 0x08
_PROTECTED = range(0x15, 0x19)
_CRC_INITIAL = 0x1D0F


@dataclass(frozen=True, slots=True)
class ClearCodes:
    """Codes of frames that are exchanged before the secure channel is active."""

    plain: frozenset[int]  # without security block
    handshake: frozenset[int]  # with a security block of the handshake


# PDID, PDCAP, NAK, BUSY; CCRYPT, RMAC_I.
REPLIES_IN_CLEAR = ClearCodes(frozenset({0x45, 0x46, 0x41, 0x79}), frozenset({0x76, 0x78}))
# ID, CAP, POLL; CHLNG, SCRYPT.
COMMANDS_IN_CLEAR = ClearCodes(frozenset({0x61, 0x62, 0x60}), frozenset({0x76, 0x77}))


class FrameFilter:
    """Takes bytes as they arrive and returns the frames that may pass."""

    def __init__(self, address: int, allowed: ClearCodes, *, from_reader: bool) -> None:
        """Pass frames of this address and direction only."""
        self._address = address | _FROM_READER if from_reader else address
        self._allowed = allowed
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the frames that are complete and may pass, each with a mark byte before it."""
        self._buffer += data
        passed = b"".join(_MARK + frame for frame in self._frames() if self._may_pass(frame))
        del self._buffer[:-_BUFFER_MAX]
        return passed

    def clear(self) -> None:
        """Drop an incomplete frame."""
        self._buffer.clear()

    def _frames(self) -> Iterator[bytes]:
        buffer = self._buffer
        while (start := buffer.find(_SOM)) >= 0:
            del buffer[:start]
            if len(buffer) < _HEADER:
                return
            length = buffer[2] | buffer[3] << 8
            if not _HEADER + 2 <= length <= _LENGTH_MAX:
                del buffer[0]
                continue
            if len(buffer) < length:
                return
            frame = bytes(buffer[:length])
            if _is_intact(frame):
                del buffer[:length]
                yield frame
            else:
                del buffer[0]
        buffer.clear()

    def _may_pass(self, frame: bytes) -> bool:
        if frame[1] != self._address:
            return False
        if not frame[4] & _SECURITY_BLOCK:
            return frame[_HEADER] in self._allowed.plain
        block_length, kind = frame[_HEADER], frame[_HEADER + 1]
        if kind in _PROTECTED:
            return True
        code = _HEADER + block_length
        return code < len(frame) and frame[code] in self._allowed.handshake


def _is_intact(frame: bytes) -> bool:
    """Return True if the check characters are right: CRC-16/AUG-CCITT or a sum of 0."""
    if frame[4] & _CRC:
        return crc_hqx(frame[:-2], _CRC_INITIAL) == frame[-2] | frame[-1] << 8
    return sum(frame) & 0xFF == 0
