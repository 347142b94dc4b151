"""Substitute for systemd: readiness, watchdog, restart and ExecStopPost, from the unit file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

UNITS = Path(__file__).resolve().parents[2] / "systemd"
_POLL_S = 0.01


def setting(unit: str, name: str) -> str:
    """Return a value of a unit. Raises LookupError if it is missing."""
    found = re.search(rf"^{name}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{unit} has no {name}")
    return found[1]


def seconds(text: str) -> float:
    """Return the seconds of `2` or `200ms`."""
    return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text)


class Service:
    """Process of one unit, restarted as its unit says."""

    def __init__(
        self,
        unit: str,
        command: Sequence[str],
        after: Sequence[str],
        *,
        log: Path,
        notify: Path,
        environment: dict[str, str],
    ) -> None:
        self.watchdog_s, self.restart_s = (
            seconds(setting(unit, "WatchdogSec")),
            seconds(setting(unit, "RestartSec")),
        )
        self._watchdog_signal = signal.Signals[setting(unit, "WatchdogSignal")]
        self._command, self._after = (
            [sys.executable, *command],
            [sys.executable, *after] if after else [],
        )
        self._log = log.open("a")
        self._environment = os.environ | environment | {"NOTIFY_SOCKET": str(notify)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(notify))
        self._socket.settimeout(_POLL_S)
        self._stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = threading.Event()
        self.starts = 0
        self.watchdog_kills = 0
        self.heartbeats = 0
        self.last_status = ""
        self._thread = threading.Thread(target=self._supervise, name=unit, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """SIGTERM, as `systemctl stop`; SIGCONT first, in case a test left it stopped."""
        self._stopping.set()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        self._thread.join(30)
        self._socket.close()
        self._log.close()

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            self._run_once()
            if self._after:
                subprocess.run(
                    self._after,
                    stdout=self._log,
                    stderr=self._log,
                    env=self._environment,
                    check=False,
                )
            self._stopping.wait(self.restart_s)

    def _run_once(self) -> None:
        self.starts += 1
        self.process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, env=self._environment
        )
        alive: float | None = None  # latest watchdog ping; None until it is ready
        while self.process.poll() is None:
            for message in self._messages():
                if message == "READY=1":
                    self.ready.set()
                if message in ("READY=1", "WATCHDOG=1"):
                    alive = time.monotonic()
                    self.heartbeats += 1
                self.last_status = (
                    message.removeprefix("STATUS=")
                    if message.startswith("STATUS=")
                    else self.last_status
                )
            if alive is not None and time.monotonic() - alive > self.watchdog_s:
                self.watchdog_kills += 1
                self.process.send_signal(self._watchdog_signal)
                self.process.wait()
        self.ready.clear()

    def _messages(self) -> list[str]:
        try:
            return self._socket.recv(4096).decode().splitlines()
        except TimeoutError:
            return []
