"""Frames that may reach libosdp."""

from __future__ import annotations

from binascii import crc_hqx

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.door.readers.osdp_frames import COMMANDS_IN_CLEAR, REPLIES_IN_CLEAR, FrameFilter

ADDRESS = 5
RAW, ACK, PDID, CCRYPT = 0x50, 0x40, 0x45, 0x76


def _frame(content: bytes, control: int = 4, address: int = ADDRESS | 0x80) -> bytes:
    length = 5 + len(content) + (2 if control & 4 else 1)
    head = bytes([0x53, address, length & 0xFF, length >> 8, control]) + content
    return head + (
        crc_hqx(head, 0x1D0F).to_bytes(2, "little") if control & 4 else bytes([-sum(head) & 0xFF])
    )


def _replies() -> FrameFilter:
    return FrameFilter(ADDRESS, REPLIES_IN_CLEAR, from_reader=True)


@pytest.mark.parametrize(
    ("frame", "passes"),
    [
        (_frame(bytes([2, 0x16, ACK]) + bytes(4), 12), True),
        (_frame(bytes([2, 0x18, RAW]) + bytes(20), 12), True),
        (_frame(bytes([PDID]) + bytes(12)), True),
        (_frame(bytes([3, 0x12, 1, CCRYPT]) + bytes(32), 12), True),
        (_frame(bytes([PDID]) + bytes(12), 0), True),
        (_frame(bytes([RAW]) + bytes(8)), False),
        (_frame(bytes([ACK])), False),
        (_frame(bytes([CCRYPT]) + bytes(32)), False),
        (_frame(bytes([3, 0x12, 1, RAW]) + bytes(8), 12), False),
        (_frame(bytes([200, 0x12, 1, RAW]) + bytes(8), 12), False),
        (_frame(bytes([3, 0x19, 1, CCRYPT]) + bytes(8), 12), True),
        (_frame(bytes([PDID]) + bytes(12), address=ADDRESS), False),
        (_frame(bytes([PDID]) + bytes(12), address=ADDRESS + 1 | 0x80), False),
        (_frame(bytes([PDID]) + bytes(12))[:-1] + b"\x00", False),
    ],
)
def test_filter_passes_protected_and_handshake(frame: bytes, passes: bool) -> None:
    assert _replies().feed(frame) == (b"\xff" + frame if passes else b"")


def test_filter_knows_commands_of_the_handshake() -> None:
    commands = FrameFilter(ADDRESS, COMMANDS_IN_CLEAR, from_reader=False)
    poll, led = (_frame(bytes([code]), address=ADDRESS) for code in (0x60, 0x69))
    assert commands.feed(poll + led) == b"\xff" + poll


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20))
def test_filter_finds_frames_after_noise(noise: bytes, cuts: list[int]) -> None:
    frame = _frame(bytes([2, 0x16, ACK]) + bytes(4), 12)
    data = noise + bytes(300) + frame  # zeros end each frame that the noise started
    frames, passed = _replies(), b""
    for size in [*cuts, len(data)]:
        passed += frames.feed(data[:size])
        data = data[size:]
    assert passed.endswith(b"\xff" + frame)
