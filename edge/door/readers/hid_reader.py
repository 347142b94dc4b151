"""USB reader that types like a keyboard, through evdev with an exclusive grab."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Any

import evdev

from edge.door.readers.events import ReaderInput
from edge.door.readers.hid_keys import KeyboardBuffer
from edge.errors import DoorError

_EV_KEY, _PRESSED = 1, 1
_LOST = 0, 3  # EV_SYN and SYN_DROPPED: the queue of the kernel was full


class HidReader:
    """Reads key presses of one device; no other program receives them."""

    def __init__(self, path: str, *, reads_pin: bool, timeout_s: float) -> None:
        self._path = path
        self._reads_pin = reads_pin
        self._timeout_s = timeout_s
        self._device: Any = None

    def open(self) -> None:
        self.close()
        try:
            self._device = evdev.InputDevice(self._path)
            self._device.grab()
        except OSError as error:
            self.close()
            raise DoorError(
                f"{self._path}: cannot be used: {error.strerror}; is the reader plugged in, used "
                "by no other program, and readable for the door's account (group input)?"
            ) from error
        self._keys = KeyboardBuffer(reads_pin=self._reads_pin, timeout_s=self._timeout_s)

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        assert self._device is not None, "not open"
        if not select.select([self._device.fd], [], [], timeout_s)[0]:
            return ()
        now = time.monotonic()
        try:
            events = list(self._device.read())
        except BlockingIOError:
            return ()
        except OSError as error:
            raise DoorError(
                f"{self._path}: cannot be read: {error.strerror}; check the plug of the reader"
            ) from error
        reads: list[ReaderInput] = []
        for event in events:
            if (event.type, event.code) == _LOST:
                self._keys.note_lost()
            elif (event.type, event.value) == (_EV_KEY, _PRESSED):
                read = self._keys.press(event.code, now)
                reads += [] if read is None else [read]
        return reads

    def close(self) -> None:
        if self._device is not None:
            self._device.close()  # ends the grab as well
            self._device = None
