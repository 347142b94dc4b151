"""Digits and the enter key of a keyboard reader, from Linux key codes. Pure."""

from __future__ import annotations

import math

from edge.door.readers.card_formats import card_of_digits
from edge.door.readers.events import (
    PIN_DIGITS_MAX,
    Malformation,
    PinEntered,
    ReaderInput,
    ReadMalformed,
)

# Key codes of linux/input-event-codes.h.
_DIGITS = {2: "1", 3: "2", 4: "3", 5: "4", 6: "5", 7: "6", 8: "7", 9: "8", 10: "9", 11: "0"}
_KEYPAD = {79: "1", 80: "2", 81: "3", 75: "4", 76: "5", 77: "6", 71: "7", 72: "8", 73: "9", 82: "0"}
_KEYS = _DIGITS | _KEYPAD
_ENTERS = (28, 96)
_CARD_DIGITS_MIN, _CARD_DIGITS_MAX = 4, 32


class KeyboardBuffer:
    """Collects key presses up to the enter key, as a card's number or as a PIN.

    A read with another key, of a wrong length or with a pause over `timeout_s` is malformed.
    """

    def __init__(self, *, reads_pin: bool, timeout_s: float) -> None:
        self._reads_pin = reads_pin
        self._timeout_s = timeout_s
        self._last = -math.inf
        self._digits = ""
        self._is_valid = True
        self._has_lost = False  # presses of this read

    def note_lost(self) -> None:
        """Note that presses of keys were lost: the read they belong to must not count."""
        self._has_lost = True

    def press(self, code: int, now: float) -> ReaderInput | None:
        """Add the press of a key; return a read if it was the enter key."""
        if now - self._last > self._timeout_s:
            self._clear()
        self._last = now
        if code in _ENTERS:
            read = self._read()
            self._clear()
            return read
        self._is_valid = self._is_valid and code in _KEYS
        if len(self._digits) <= _CARD_DIGITS_MAX:  # one more marks it as too long
            self._digits += _KEYS.get(code, "")
        return None

    def _clear(self) -> None:
        self._digits = ""
        self._is_valid = True
        self._has_lost = False

    def _read(self) -> ReaderInput | None:
        if self._has_lost:
            return ReadMalformed(Malformation.INCOMPLETE)
        if not self._digits and self._is_valid:
            return None
        if not self._is_valid:
            return ReadMalformed(Malformation.SYNTAX)
        if self._reads_pin:
            is_pin = len(self._digits) <= PIN_DIGITS_MAX
            return PinEntered(self._digits) if is_pin else ReadMalformed(Malformation.LENGTH)
        if not _CARD_DIGITS_MIN <= len(self._digits) <= _CARD_DIGITS_MAX:
            return ReadMalformed(Malformation.LENGTH)
        return card_of_digits(self._digits)
