"""Digits of a keypad, collected to a PIN. Pure: times are arguments."""

from __future__ import annotations

import math

from edge.door.readers.events import (
    PIN_DIGITS_MAX,
    Malformation,
    PinEntered,
    ReaderInput,
    ReadMalformed,
)

ENTER, CLEAR = "enter", "clear"


class KeypadBuffer:
    """Keys between two `enter` are a PIN; `clear` and a long pause drop them."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._digits = ""
        self._is_too_long = False
        self._pressed_at = -math.inf

    def press(self, key: str, now: float) -> ReaderInput | None:
        """Take a digit, ENTER or CLEAR; return the input that the key completes."""
        if now - self._pressed_at > self._timeout_s or key == CLEAR:
            self.clear()
        self._pressed_at = now
        if key == CLEAR:
            return None
        if key == ENTER:
            return self._finish()
        self._is_too_long = len(self._digits) == PIN_DIGITS_MAX
        if not self._is_too_long:
            self._digits += key
        return None

    def clear(self) -> None:
        self._digits, self._is_too_long = "", False

    def _finish(self) -> ReaderInput | None:
        digits, is_too_long = self._digits, self._is_too_long
        self.clear()
        if is_too_long:
            return ReadMalformed(Malformation.LENGTH)
        return PinEntered(digits) if digits else None
