"""libosdp as the other end of an OSDP line: a reader or a panel on a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import threading
import tty
from binascii import crc_hqx
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import until

osdp_sys = pytest.importorskip("osdp_sys", reason="libosdp is not installed")
osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)

ADDRESS = 5
KEY = bytes.fromhex("8a1f03c57be29d4460f1a7325e9cb80d")
OTHER_KEY = bytes.fromhex("17d2a09b6c3e5f81e4b07a2c9d5168f3")
DEFAULT_KEY = b"0123456789:;<=>?"
ENFORCED = osdp_sys.FLAG_ENFORCE_SECURE
_CAPABILITIES = (
    osdp_sys.CAP_CARD_DATA_FORMAT,
    osdp_sys.CAP_READER_LED_CONTROL,
    osdp_sys.CAP_READER_AUDIBLE_OUTPUT,
    osdp_sys.CAP_READER_TEXT_OUTPUT,
    osdp_sys.CAP_COMMUNICATION_SECURITY,
)


class Wire:
    """Pseudo-terminal: `device` is the terminal's end, the methods are libosdp's channel."""

    id = 0

    def __init__(self, device: Path) -> None:
        self._fd, self._other = pty.openpty()
        tty.setraw(self._fd)
        os.set_blocking(self._fd, False)
        device.unlink(missing_ok=True)
        device.symlink_to(os.ttyname(self._other))
        self.is_cut = False
        self.sent: list[bytes] = []
        self.received: list[bytes] = []

    def read(self, max_bytes: int) -> bytes:
        with contextlib.suppress(OSError):
            if not self.is_cut and (data := os.read(self._fd, max_bytes)):
                self.received.append(data)
                return data
        return b""

    def write(self, data: bytes) -> int:
        if not self.is_cut:
            self.sent.append(bytes(data))
            with contextlib.suppress(OSError):
                os.write(self._fd, data)
        return len(data)

    def flush(self) -> None:
        pass

    def unplug(self) -> None:
        """End the terminal's end as a removed adapter does."""
        os.close(self._other)
        os.close(self._fd)


class Peer:
    """Refreshes a device of libosdp in a thread; `messages` are its events or commands."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.messages: list[dict[str, Any]] = []
        self.is_paused = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def submit(self, *message: Any) -> None:
        with self._lock:
            submit = getattr(self.device, "submit_command", None) or self.device.submit_event
            assert submit(*message)

    def pause(self) -> None:
        with self._lock:
            self.is_paused = True

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.001):
            with self._lock:
                if not self.is_paused:
                    self.device.refresh()


@contextlib.contextmanager
def reader_peer(wire: Wire, key: bytes | None, flags: int = ENFORCED) -> Iterator[Peer]:
    device = osdp_sys.PeripheralDevice(_info(wire, key, flags), capabilities=_capabilities())
    peer: list[Peer] = []
    device.set_command_callback(lambda command: _received(peer[0], command))
    peer.append(Peer(device))
    try:
        yield peer[0]
    finally:
        peer[0].stop()


@contextlib.contextmanager
def panel_peer(wire: Wire, key: bytes, flags: int = ENFORCED) -> Iterator[Peer]:
    device = osdp_sys.ControlPanel([_info(wire, key, flags)])
    peer = Peer(device)
    device.set_event_callback(lambda _, event: peer.messages.append(event) or 0)
    try:
        yield peer
    finally:
        peer.stop()


def wait_until(condition: Callable[[], object]) -> None:
    until(lambda: bool(condition()), "the condition of the test", poll_s=0.005)


def card(number: int, bits: int = 26) -> dict[str, Any]:
    """Return the event of a card for libosdp."""
    size = -(-bits // 8)
    return {
        "event": osdp_sys.EVENT_CARDREAD,
        "reader_no": 0,
        "format": osdp_sys.CARD_FMT_RAW_WIEGAND,
        "direction": 0,
        "length": bits,
        "data": (number << size * 8 - bits).to_bytes(size, "big"),
    }


def keys(data: bytes) -> dict[str, Any]:
    return {"event": osdp_sys.EVENT_KEYPRESS, "reader_no": 0, "data": data}


def condition(tamper: int, power: int) -> dict[str, Any]:
    return {
        "event": osdp_sys.EVENT_STATUS,
        "type": osdp_sys.STATUS_REPORT_LOCAL,
        "report": bytes([tamper, power]),
    }


def light(color: int, *, temporary: bool = True) -> dict[str, Any]:
    return {
        "command": osdp_sys.CMD_LED,
        "reader": 0,
        "led_number": 0,
        "temporary": temporary,
        "control_code": 2 if temporary else 1,
        "on_color": color,
        "off_color": osdp_sys.LED_COLOR_NONE,
        "on_count": 5,
        "off_count": 5,
        "timer_count": 20,
    }


def frame(control: int, content: bytes, *, from_reader: bool = True) -> bytes:
    """Return a frame with its checksum. `control`: sequence, 4 for CRC, 8 for a security block."""
    address = ADDRESS | (0x80 if from_reader else 0)
    length = 5 + len(content) + 2
    head = bytes([0x53, address, length & 0xFF, length >> 8, control]) + content
    return head + crc_hqx(head, 0x1D0F).to_bytes(2, "little")


def _received(peer: Peer, command: dict[str, Any]) -> tuple[int, None]:
    peer.messages.append(command)
    accepted = 0
    return accepted, None  # not a constant: libosdp releases the items of the tuple


def _info(wire: Wire, key: bytes | None, flags: int) -> dict[str, Any]:
    numbers = ("version", "model", "vendor_code", "serial_number", "firmware_version")
    return {
        "name": "peer",
        "address": ADDRESS,
        "flags": flags,
        "scbk": key,
        "channel": wire,
        **dict.fromkeys(numbers, 1),
    }


def _capabilities() -> list[dict[str, int]]:
    return [
        {"function_code": code, "compliance_level": 1, "num_items": 1} for code in _CAPABILITIES
    ]
