"""Collection of keys to PINs."""

from __future__ import annotations

import pytest

from edge.door.readers.events import Malformation, PinEntered, ReaderInput, ReadMalformed
from edge.door.readers.keypad import CLEAR, ENTER, KeypadBuffer


def _press(keys: list[str], interval_s: float = 1.0) -> list[ReaderInput]:
    keypad = KeypadBuffer(timeout_s=5.0)
    found = [keypad.press(key, at * interval_s) for at, key in enumerate(keys)]
    return [read for read in found if read is not None]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([*"1234", ENTER], [PinEntered("1234")]),
        ([*"12", CLEAR, *"34", ENTER], [PinEntered("34")]),
        ([ENTER, ENTER], []),
        ([*"123456789012", ENTER], [PinEntered("123456789012")]),
        (
            [*"12345678901234", ENTER, *"12", ENTER],
            [ReadMalformed(Malformation.LENGTH), PinEntered("12")],
        ),
    ],
)
def test_keypad_collects_digits(keys: list[str], found: list[ReaderInput]) -> None:
    assert _press(keys) == found


def test_keypad_pause_drops_digits() -> None:
    assert _press([*"12", ENTER], interval_s=6.0) == []
