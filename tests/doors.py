"""Door service in a thread for tests, with inputs, schedules and faulty disks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.access.schedule import Schedule, ScheduledMode
from edge.audit.async_writer import AsyncLogWriter
from edge.audit.reader import read_log
from edge.audit.retention import Retention
from edge.audit.writer import AuditLogWriter
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.config.lane import DEFAULT_LANE
from edge.door.access_point import build_access_point
from edge.door.controller import InputKind
from edge.door.hardware import DoorHardware
from edge.door.inputs import DoorInputs, FileInputLine
from edge.door.paths import DoorPaths
from edge.door.readers.reader import Reader
from edge.door.readers.reader_set import ReaderSet
from edge.door.record import load_previous_run
from edge.door.service import DoorService
from edge.door.settings import DoorSettings
from edge.door.simulated_backend import SimulatedRelayOutput
from edge.door.timing import DoorTiming, build_timing
from edge.door.unlocker import RECORD_DEADLINE_S
from edge.errors import DoorError, RecordError
from edge.values import Grant
from tests.processes import until as wait_until

PULSE_S = 0.3
TIMEOUT_S = 120.0  # far above the milliseconds of an idle machine
_POLL_S = 0.002


def make_timing(**changes: Any) -> DoorTiming:
    """Return the default timing with changes."""
    return replace(build_timing(DoorConfig()), **changes)


TIMING = make_timing(pulse_s=PULSE_S, rex_pulse_s=PULSE_S)


def make_settings(**changes: Any) -> DoorSettings:
    """Return settings without accounts, with changes."""
    settings = DoorSettings(
        terminal="terminal",
        instance=None,
        timing=TIMING,
        schedule=Schedule(),
        access=build_access_point(AccessConfig(), DoorConfig()),
        clients={},
        operators={},
        unlock_unrecorded=False,
        retention=Retention(),
        unknown_accounts=(),
    )
    return replace(settings, **changes)


SETTINGS = make_settings()


class Clock:
    """Clock moved by the test only: a busy machine misses no deadline."""

    def __init__(self) -> None:
        self._now = 1000.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


CLOCK = Clock()


class RunningDoor:
    """Door service in a thread, with a real socket."""

    def __init__(
        self,
        folder: Path,
        disk: Callable[[Path], AuditLogWriter] = AuditLogWriter,
        wires: FileInputs | None = None,
        settings: DoorSettings = SETTINGS,
        clock: Callable[[], float] = CLOCK,
        readers: Mapping[str, Reader] | None = None,
        **options: Any,
    ) -> None:
        self.path = folder / "door.sock"
        self.record_path = folder / "door"
        self.relay = SimulatedRelayOutput(clock)
        self.readers = ReaderSet(readers or {}, time.monotonic)
        self.service = DoorService(
            settings,
            DoorHardware(self.relay, wires.alarm, wires.inputs)
            if wires
            else DoorHardware(self.relay),
            AsyncLogWriter(lambda: disk(self.record_path)),
            DoorPaths.in_folder(folder),
            self.readers,
            previous=load_previous_run(self.record_path),
            clock=clock,
            **options,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.service.step()

    def pause(self) -> None:
        """Stop the loop, so that the test may call the service."""
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def resume(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self.pause()
        self.service.close()

    def read_records(self) -> list[dict[str, Any]]:
        """Read the audit log, once what was recorded before this call is on disk or has failed."""
        self.service.door.log.newest.done.wait(TIMEOUT_S)
        return read_log(self.record_path)

    def events(self) -> list[str]:
        return [r["event"] for r in self.read_records() if "event" in r]


def grant(name: str = "g1", age: float = 0.0, clock: Callable[[], float] = CLOCK) -> Grant:
    return Grant(name, "Ada", 1, clock() - age, DEFAULT_LANE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition while the door's clock advances."""

    def is_met() -> bool:
        CLOCK.advance(_POLL_S)
        return condition()

    wait_until(is_met, "the door does it", timeout_s=TIMEOUT_S, poll_s=_POLL_S)


@contextmanager
def passing() -> Iterator[None]:
    """Advance the door's clock, for a request that is answered at a deadline."""
    over = threading.Event()

    def pass_time() -> None:
        while not over.wait(_POLL_S):
            CLOCK.advance(_POLL_S)

    thread = threading.Thread(target=pass_time)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def records(terminal: RunningDoor, event: str) -> list[dict[str, Any]]:
    return [r for r in terminal.read_records() if r.get("event") == event]


class FileInputs:
    """Inputs as files, and both relays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.alarm = SimulatedRelayOutput()
        self.inputs = DoorInputs(
            {which: FileInputLine(folder / which.value) for which in InputKind},
            dict.fromkeys(InputKind, 0.0),
        )

    def put(self, which: InputKind, active: bool) -> None:
        fresh = self._folder / f"{which.value}.fresh"
        fresh.write_text("1" if active else "0")
        fresh.replace(self._folder / which.value)


class FixedSchedule:
    """Schedule with one constant mode."""

    def __init__(self, window: ScheduledMode) -> None:
        self.window, self.strictest, self.doubts = window, ScheduledMode.NORMAL, 0

    def mode_at(self, moment: object, *, clock_trusted: bool) -> ScheduledMode:
        self.doubts += not clock_trusted
        return (
            self.window
            if clock_trusted or self.window is ScheduledMode.LOCKED
            else ScheduledMode.NORMAL
        )


class FullDisk(AuditLogWriter):
    """Audit log on a full disk."""

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        raise RecordError("disk full")


class RecoveringDisk(AuditLogWriter):
    """Disk that is full until the test makes room; `refused` holds the rejected records."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = True
        self.refused: list[dict[str, object]] = []

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        if not self.full:
            return super().append(fields, durable=durable)
        self.refused.append(fields)
        self.lost += 1
        raise RecordError("disk full")


class HangingDisk(AuditLogWriter):
    """Audit log on a disk that hangs until it is released."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.released = threading.Event()

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        assert self.released.wait(TIMEOUT_S)
        return super().append(fields, durable=durable)


class SlowDisk(HangingDisk):
    """Disk that takes a grant only after the door's deadline, once it is released."""

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        if fields["event"] != "granted":
            return AuditLogWriter.append(self, fields, durable=durable)
        CLOCK.advance(2 * RECORD_DEADLINE_S)
        return super().append(fields, durable=durable)


class FailingRelay(SimulatedRelayOutput):
    """Relay that fails when it is energised."""

    def energise(self) -> None:
        raise DoorError("the relay pin cannot be switched")
