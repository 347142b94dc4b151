"""Door process of the benchmark: the real service and socket, with a relay that writes its times.

No request goes to the terminal's own door: a benchmark admits no one.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge.access.schedule import Schedule
from edge.audit.async_writer import AsyncLogWriter
from edge.audit.retention import Retention
from edge.audit.writer import AuditLogWriter
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.door.access_point import build_access_point
from edge.door.client import DoorClient
from edge.door.hardware import DoorHardware
from edge.door.paths import DoorPaths
from edge.door.readers.reader_set import ReaderSet
from edge.door.service import DoorService
from edge.door.settings import DoorSettings
from edge.door.timing import build_timing
from edge.errors import DoorError
from edge.values import Grant

PULSE_S = 0.2  # short, so that the relay is de-energised before the next grant
_START_S = 20.0
_STOP_S = 5.0


class TimestampingRelay:
    """Relay that writes the time of each energising, monotonic seconds, as a line of a file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = path.open("a", encoding="ascii")
        self._clock = clock
        self._energised = False

    def energise(self) -> None:
        if not self._energised:
            self._energised = True
            self._file.write(f"{self._clock():.6f}\n")
            self._file.flush()

    def deenergise(self) -> None:
        self._energised = False

    def close(self) -> None:
        self._energised = False
        self._file.close()


class BenchDoor:
    """Starts the door process and waits for it. Its audit log is in `folder`. Raises DoorError."""

    def __init__(self, folder: Path) -> None:
        self._sockets = tempfile.TemporaryDirectory(
            prefix="edge-bench-"
        )  # a path to a socket must be short
        self._edges = folder / "relay.txt"
        self._edges.touch()
        socket = Path(self._sockets.name) / "door.sock"
        places = {"--socket": socket, "--record": folder / "door", "--edges": self._edges}
        command = [
            sys.executable,
            "-m",
            __name__,
            *(str(part) for place in places.items() for part in place),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self._client = DoorClient(socket)
        try:
            self._await()
        except DoorError:
            self.close()
            raise

    def _await(self) -> None:
        give_up = time.monotonic() + _START_S
        while True:
            try:
                self._client.status()
                return
            except DoorError:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def grant(self, grant: Grant) -> str | None:
        """Request a grant; return the refusal, or None if the door opened. Raises DoorError."""
        return self._client.grant(grant)

    def switched(self) -> list[float]:
        """Return the times at which the relay was energised, monotonic seconds."""
        return [float(line) for line in self._edges.read_text(encoding="ascii").split()]

    def close(self) -> None:
        self._client.close()
        if self._process.stdin is not None:
            self._process.stdin.close()  # it ends at end of input, also if this process is killed
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sockets.cleanup()


def _settings() -> DoorSettings:
    return DoorSettings(
        terminal="bench",
        instance=None,
        timing=build_timing(DoorConfig(pulse_s=PULSE_S, extended_pulse_s=PULSE_S)),
        schedule=Schedule(),
        access=build_access_point(AccessConfig(), DoorConfig()),
        clients={},
        operators={},
        unlock_unrecorded=False,
        retention=Retention(),
        unknown_accounts=(),
    )


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main(argv: list[str] | None = None) -> int:
    """Run the door until standard input ends."""
    parser = argparse.ArgumentParser(prog="edge-bench-door", description=__doc__)
    for name in ("socket", "record", "edges"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args(argv)
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    record = AsyncLogWriter(lambda: AuditLogWriter(args.record, log_id="bench/door"))
    with contextlib.closing(
        DoorService(
            _settings(),
            DoorHardware(TimestampingRelay(args.edges)),
            record,
            replace(DoorPaths.in_folder(args.socket.parent), socket=args.socket),
            ReaderSet({}, time.monotonic),
        )
    ) as service:
        while not ended.is_set():
            service.step()
    return 0


if __name__ == "__main__":
    sys.exit(main())
