"""Run the door process with a relay backend of your own: here a line of text per change.

python examples/own_relay.py /dev/ttyUSB0     # or any file
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.writer import AuditLogWriter
from edge.config import TerminalConfig
from edge.door.client import DoorClient
from edge.door.hardware import DoorHardware
from edge.door.paths import build_paths
from edge.door.readers.reader_set import ReaderSet
from edge.door.record import load_previous_run
from edge.door.service import DoorService
from edge.door.settings import build_settings
from edge.values import Grant

PULSE_S = 0.5


class SerialRelay:
    """A relay: de-energised means locked, right after opening and after `close`."""

    def __init__(self, path: Path) -> None:
        self._line = path.open("w", encoding="ascii")
        self.deenergise()

    def energise(self) -> None:
        self._write("RELAY ON")

    def deenergise(self) -> None:
        self._write("RELAY OFF")

    def close(self) -> None:
        if not self._line.closed:
            self.deenergise()
            self._line.close()

    def _write(self, command: str) -> None:
        self._line.write(f"{command}\n")
        self._line.flush()


def build_config(folder: Path) -> TerminalConfig:
    """Return a configuration with its state in a folder; camera and bundle are not used here."""
    return TerminalConfig.model_validate(
        {
            "state": folder,
            "bundle": folder,
            "camera": {"kind": "opencv", "source": 0},
            "liveness": {"kind": "none"},
            "door": {"pulse_s": PULSE_S},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("line", type=Path, help="serial device or file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = build_config(Path(folder))
        log = config.door_record_path
        service = DoorService(
            build_settings(config),
            DoorHardware(SerialRelay(args.line)),
            AsyncLogWriter(lambda: AuditLogWriter(log, log_id=f"{config.terminal}/door")),
            build_paths(config),
            ReaderSet({}, time.monotonic),
            previous=load_previous_run(log),
        )
        answers: list[str | None] = []

        def ask() -> None:
            """Request a grant, as the recogniser does."""
            client = DoorClient(config.socket_path)
            grant = Grant("grant-1", "Ada", 1, time.monotonic(), lane="main")
            answers.append(client.grant(grant))
            client.close()

        recogniser = threading.Thread(target=ask)
        recogniser.start()
        end = time.monotonic() + 2 * PULSE_S
        while time.monotonic() < end:
            service.step()  # waits for a packet or the end of the pulse
        recogniser.join()
        service.close()
    print("granted" if answers == [None] else f"refused: {answers}")


if __name__ == "__main__":
    main()
