"""systemd's notification socket: readiness, liveness of the loop, and a status line for people."""

from __future__ import annotations

import contextlib
import os
import socket
import time


class SystemdNotifier:
    """Says nothing where systemd does not listen. `WATCHDOG=1` belongs into the loop it vouches for, never in a timer."""

    def __init__(self, address: str | None = None) -> None:
        path = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._address = f"\0{path[1:]}" if path and path.startswith("@") else path
        self._socket = (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        )

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """To be followed by `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, status: str | None = None) -> None:
        self._send("WATCHDOG=1" + (f"\nSTATUS={status}" if status else ""))

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None or not self._address:
            return
        with contextlib.suppress(OSError):  # a restart of systemd must not end a terminal
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
