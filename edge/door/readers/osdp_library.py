"""libosdp: the only module that imports it. Secure channel only, never install mode.

The library runs in the calling thread and keeps Python's interpreter lock during a refresh
(microseconds). An exception in a callback would corrupt its state: callbacks never raise.
"""

from __future__ import annotations

import ctypes
import functools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from edge.door.readers.osdp_entropy import refresh_entropy
from edge.door.readers.osdp_frames import (
    COMMANDS_IN_CLEAR,
    REPLIES_IN_CLEAR,
    FrameFilter,
)
from edge.door.readers.osdp_key import OsdpKey
from edge.door.readers.serial_line import SerialLine

_MESSAGES_MAX = 64  # events or commands that wait for the caller
_DEVICE_ID = {
    "version": 1,
    "model": 1,
    "vendor_code": 0,
    "serial_number": 1,
    "firmware_version": 0,
}

Message = Mapping[str, Any]  # event or command of libosdp


@functools.cache
def load_library() -> Any:
    """Return the module of libosdp, silent: its log could contain a credential."""
    import osdp_sys

    osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
    return osdp_sys


class OsdpChannel:
    """Serial line and frame filter as libosdp calls them; the line is replaced on reconnection."""

    def __init__(self, frames: FrameFilter, clock: Callable[[], float]) -> None:
        self.id = 0
        self.line: SerialLine | None = None
        self.heard_at: float | None = None  # of the last frame on this line
        self._frames = frames
        self._clock = clock
        self._pending = b""

    def connect(self, line: SerialLine) -> None:
        self.line, self.heard_at = line, None
        self.flush()

    def read(self, max_bytes: int) -> bytes:
        passed = self._frames.feed(self.line.read()) if self.line else b""
        if passed:
            self.heard_at = self._clock()
        content = self._pending + passed
        self._pending = content[max_bytes:]
        return content[:max_bytes]

    def write(self, data: bytes) -> int:
        return self.line.write(data) if self.line else 0

    def flush(self) -> None:
        self._pending = b""
        self._frames.clear()
        if self.line:
            self.line.discard_input()


class PanelContext:
    """Control panel with one reader."""

    def __init__(self, address: int, key: OsdpKey, clock: Callable[[], float]) -> None:
        library = load_library()
        self.channel = OsdpChannel(FrameFilter(address, REPLIES_IN_CLEAR, from_reader=True), clock)
        self._events: deque[Message] = deque(maxlen=_MESSAGES_MAX)
        refresh_entropy()
        self._panel = library.ControlPanel([_device_info(library, address, key, self.channel)])
        self._panel.set_event_callback(self._receive)
        self._has_failed = False
        self._is_restarting = False

    def restart(self) -> None:
        """Start the handshake again: after an error libosdp would wait for five minutes."""
        self._panel.flush_commands(0)
        self._panel.disable_pd(0)
        self._is_restarting = True

    def refresh(self) -> None:
        """Send and receive; never waits."""
        refresh_entropy()
        self._panel.refresh()
        if self._is_restarting and not self._panel.is_pd_enabled(0):
            self._panel.enable_pd(0)
            self._is_restarting = self._has_failed = False

    def is_secure(self) -> bool:
        """Return True while a secure channel with the configured key is active."""
        status = self._panel.sc_status() & self._panel.status()
        return bool(status) and not self._is_restarting

    def has_failed(self) -> bool:
        """Return True if the reader refused the handshake, or the session ended."""
        return self._has_failed and not self._is_restarting

    def submit(self, command: Message) -> None:
        self._panel.submit_command(0, dict(command))

    def take(self) -> list[Message]:
        """Return the events since the last call."""
        events = list(self._events)
        self._events.clear()
        return events

    def _receive(self, _reader: int, event: Message) -> int:
        library = load_library()
        if event["event"] == library.EVENT_NOTIFICATION:
            if event["type"] == library.EVENT_NOTIFICATION_PD_STATUS and not event["arg0"]:
                self._has_failed = True
        elif self.is_secure():
            self._events.append(event)
        return 0


class PeripheralContext:
    """Reader of a control panel."""

    def __init__(
        self,
        address: int,
        key: OsdpKey,
        clock: Callable[[], float],
        accepted: frozenset[int],
    ) -> None:
        """`accepted`: codes of the commands that are acknowledged."""
        library = load_library()
        self.channel = OsdpChannel(
            FrameFilter(address, COMMANDS_IN_CLEAR, from_reader=False), clock
        )
        self._accepted = accepted
        self._commands: deque[Message] = deque(maxlen=_MESSAGES_MAX)
        refresh_entropy()
        self._device = library.PeripheralDevice(
            _device_info(library, address, key, self.channel), capabilities=_capabilities(library)
        )
        self._device.set_command_callback(self._receive)

    def refresh(self) -> None:
        """Send and receive; never waits."""
        refresh_entropy()
        self._device.refresh()

    def is_secure(self) -> bool:
        """Return True while the panel uses a secure channel with the configured key."""
        return bool(self._device.is_online() and self._device.is_sc_active())

    def submit(self, event: Message) -> None:
        self._device.submit_event(dict(event))

    def drop_events(self) -> int:
        """Drop the events that the panel did not fetch; return their number."""
        return int(self._device.flush_events())

    def take(self) -> list[Message]:
        """Return the accepted commands since the last call."""
        commands = list(self._commands)
        self._commands.clear()
        return commands

    def _receive(self, command: Message) -> tuple[int, object]:
        is_accepted = command["command"] in self._accepted and self.is_secure()
        if is_accepted:
            self._commands.append(command)
        return _answer(_ACCEPTED if is_accepted else _REFUSED)


# libosdp 3.2.9 keeps a reference to the answer of a command callback and releases its second
# item once too often. Shared answers and one more reference for each call keep memory constant.
_NOTHING = object()
_ACCEPTED, _REFUSED = (0, _NOTHING), (-1, _NOTHING)
_add_reference = ctypes.pythonapi.Py_IncRef
_add_reference.argtypes, _add_reference.restype = [ctypes.py_object], None


def _answer(answer: tuple[int, object]) -> tuple[int, object]:
    _add_reference(_NOTHING)
    return answer


def _device_info(
    library: Any, address: int, key: OsdpKey, channel: OsdpChannel
) -> dict[str, object]:
    return {
        "name": f"reader {address}",
        "address": address,
        "flags": library.FLAG_ENFORCE_SECURE | library.FLAG_ENABLE_NOTIFICATION,
        "scbk": key.value,
        "channel": channel,
        **_DEVICE_ID,
    }


def _capabilities(library: Any) -> list[dict[str, int]]:
    """Return what the terminal can do as a reader: cards, light, sound, text, encryption."""
    codes = (
        library.CAP_CARD_DATA_FORMAT,
        library.CAP_READER_LED_CONTROL,
        library.CAP_READER_AUDIBLE_OUTPUT,
        library.CAP_READER_TEXT_OUTPUT,
        library.CAP_COMMUNICATION_SECURITY,
    )
    return [{"function_code": code, "compliance_level": 1, "num_items": 1} for code in codes]
