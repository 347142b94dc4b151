"""Notifications to systemd: readiness, watchdog and status line (sd_notify protocol)."""

from __future__ import annotations

import contextlib
import os
import socket
import time


class SystemdNotifier:
    """Sends notifications; does nothing if the service was not started by systemd.

    Call `alive` in the loop that the watchdog supervises, never by a timer.
    """

    def __init__(self, address: str | None = None) -> None:
        """Take the address from `NOTIFY_SOCKET`, which child processes then do not inherit."""
        path = os.environ.pop("NOTIFY_SOCKET", None) if address is None else address
        self._address = f"\0{path[1:]}" if path and path.startswith("@") else path
        self._socket = (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        )

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Announce a reload; call `ready` after it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self, status: str | None = None) -> None:
        """Ping the watchdog; set the status line."""
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
        with contextlib.suppress(OSError):  # a restart of systemd must not end the service
            self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
