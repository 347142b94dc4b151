"""Keyboard readers: keys to cards and PINs; the device itself where the kernel has uinput."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.readers import HidReaderConfig
from edge.door.readers.card_formats import card_of_digits
from edge.door.readers.events import (
    CardRead,
    Malformation,
    PinEntered,
    ReaderInput,
    ReadMalformed,
)
from edge.door.readers.hid_keys import KeyboardBuffer

CODES = {**{str(digit): digit + 1 for digit in range(1, 10)}, "0": 11, "A": 30, "\n": 28}


def type_keys(keys: KeyboardBuffer, text: str, now: float = 0.0) -> list[ReaderInput]:
    return [read for c in text if (read := keys.press(CODES[c], now))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001234567\n", [card_of_digits("0001234567")]),
        ("\n", []),
        ("123\n", [ReadMalformed(Malformation.LENGTH)]),
        ("1" * 33 + "\n", [ReadMalformed(Malformation.LENGTH)]),
        ("12A34\n", [ReadMalformed(Malformation.SYNTAX)]),
        ("12A34\n5678\n", [ReadMalformed(Malformation.SYNTAX), card_of_digits("5678")]),
        ("1" * 10_000, []),
    ],
)
def test_card_keys(text: str, expected: list[ReaderInput]) -> None:
    assert type_keys(KeyboardBuffer(reads_pin=False, timeout_s=1.0), text) == expected


def test_pin_keys() -> None:
    keys = KeyboardBuffer(reads_pin=True, timeout_s=1.0)
    assert type_keys(keys, "1234\n") == [PinEntered("1234")]
    assert type_keys(keys, "1" * 13 + "\n") == [ReadMalformed(Malformation.LENGTH)]


def test_lost_keys_end_their_read_only() -> None:
    keys = KeyboardBuffer(reads_pin=False, timeout_s=1.0)
    assert type_keys(keys, "12345") == []
    keys.note_lost()
    assert type_keys(keys, "6789\n4321\n") == [
        ReadMalformed(Malformation.INCOMPLETE),
        card_of_digits("4321"),
    ]


def test_keypad_keys_are_digits() -> None:
    keys = KeyboardBuffer(reads_pin=True, timeout_s=1.0)
    read = [keys.press(code, 0.0) for code in (82, 79, 80, 81, 75, 76, 77, 71, 72, 73, 96)]
    assert read[-1] == PinEntered("0123456789")


def test_pause_drops_unfinished_keys() -> None:
    keys = KeyboardBuffer(reads_pin=False, timeout_s=1.0)
    assert type_keys(keys, "9999A") == []
    assert type_keys(keys, "5678\n", now=1.1) == [card_of_digits("5678")]


def test_cards_with_leading_zeros_differ() -> None:
    assert card_of_digits("01234") != card_of_digits("1234")


@given(st.lists(st.tuples(st.integers(0, 767), st.floats(0.0, 1e6)), max_size=200))
def test_any_keys_never_raise(presses: list[tuple[int, float]]) -> None:
    keys = KeyboardBuffer(reads_pin=False, timeout_s=1.0)
    for code, now in presses:
        assert isinstance(keys.press(code, now), CardRead | ReadMalformed | None)


@pytest.mark.parametrize(
    "path", ["/dev/input/event3", "/dev/input/by-id/../event3", "/dev/ttyUSB0", ""]
)
def test_path_without_stable_link_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="by-id"):
        HidReaderConfig(kind="hid", name="in", path=path)


@pytest.mark.hardware
@pytest.mark.skipif(not os.access("/dev/uinput", os.W_OK), reason="no access to /dev/uinput")
def test_reader_of_a_uinput_device(tmp_path: Path) -> None:
    evdev = pytest.importorskip("evdev")
    from edge.door.readers.hid_reader import HidReader

    with evdev.UInput({1: sorted(CODES.values())}, name="mfsa-test-reader") as keyboard:
        reader = HidReader(keyboard.device.path, reads_pin=False, timeout_s=5.0)
        reader.open()
        for c in "0001234567\n":
            keyboard.write(1, CODES[c], 1)
            keyboard.write(1, CODES[c], 0)
            keyboard.syn()
        found: list[ReaderInput] = []
        for _ in range(100):
            found += reader.poll(0.1)
            if found:
                break
        reader.close()
    assert found == [card_of_digits("0001234567")]
