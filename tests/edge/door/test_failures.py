"""Disks, relays and inputs that fail."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from edge.access.schedule import ScheduledMode
from edge.audit.async_writer import AsyncLogWriter
from edge.audit.reader import read_log
from edge.audit.writer import AuditLogWriter
from edge.door import protocol
from edge.door.client import DoorClient
from edge.door.hardware import DoorHardware
from edge.door.paths import DoorPaths
from edge.door.readers.reader_set import ReaderSet
from edge.door.service import DoorService
from edge.door.simulated_backend import SimulatedRelayOutput
from edge.errors import DoorError
from tests.doors import (
    CLOCK,
    PULSE_S,
    SETTINGS,
    TIMEOUT_S,
    FailingRelay,
    FileInputs,
    FixedSchedule,
    FullDisk,
    RecoveringDisk,
    RunningDoor,
    SlowDisk,
    grant,
    make_settings,
    until,
)


def test_full_disk_keeps_door_locked(tmp_path: Path) -> None:
    terminal = RunningDoor(tmp_path, FullDisk)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant()) == "not-recorded"
        assert terminal.relay.history == [] and client.status()["state"] == "locked"
    finally:
        client.close()
        terminal.stop()


def test_late_record_keeps_door_locked(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path / "door")
    terminal = RunningDoor(tmp_path, lambda _: disk)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant()) == "not-recorded"
        assert terminal.relay.history == [] and client.status()["state"] == "locked"
    finally:
        disk.released.set()
        client.close()
        terminal.stop()


def test_full_disk_opens_if_configured_and_counts(
    tmp_path: Path,
) -> None:
    disk = RecoveringDisk(tmp_path / "door")
    terminal = RunningDoor(tmp_path, lambda _: disk, settings=make_settings(unlock_unrecorded=True))
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant()) is None
        until(lambda: client.status()["records_lost"] == 4)  # started, granted, unlocked, relocked
        disk.full = False
        assert client.command("lockdown", "test") is None
        assert client.status()["records_lost"] == 0
    finally:
        client.close()
        terminal.stop()
    assert read_log(terminal.record_path)[0]["lost"] == 4


@pytest.mark.parametrize("command", ["unlock", "lockdown"])
def test_full_disk_allows_restricting_only(tmp_path: Path, command: str) -> None:
    terminal = RunningDoor(tmp_path, FullDisk)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.command(command, "test") == (
            None if command == "lockdown" else "not-recorded"
        )
        assert client.status()["reason"] == ("lockdown" if command == "lockdown" else "normal")
    finally:
        client.close()
        terminal.stop()


def test_pulse_ends_in_time_on_slow_disk(tmp_path: Path) -> None:
    """A second grant waits for the disk when the pulse of the first one ends."""
    relay: list[SimulatedRelayOutput] = []

    class SlowSecond(AuditLogWriter):
        def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
            if fields.get("grant_id") == "g2" and fields["event"] == "granted":
                CLOCK.advance(0.1)  # less than the deadline of the record, more than the pulse has
                until(lambda: not relay[0].energised)
            return super().append(fields, durable=durable)

    terminal = RunningDoor(tmp_path, SlowSecond)
    relay.append(terminal.relay)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant("g1")) is None
        CLOCK.advance(PULSE_S - 0.05)
        assert client.grant(grant("g2")) is None
        assert [energised for _, energised in terminal.relay.history] == [True, False, True]
    finally:
        client.close()
        terminal.stop()


def test_relay_failure_ends_process_locked(tmp_path: Path) -> None:
    relay, path = FailingRelay(), tmp_path / "door.sock"
    service = DoorService(
        SETTINGS,
        DoorHardware(relay),
        AsyncLogWriter(lambda: AuditLogWriter(tmp_path / "door")),
        DoorPaths.in_folder(tmp_path),
        ReaderSet({}, time.monotonic),
        clock=CLOCK,
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.connect(str(path))
        raw.send(protocol.encode("grant", protocol.grant_fields(grant())))
        with pytest.raises(DoorError, match="cannot be switched"):
            for _ in range(5):
                service.step()
    service.close()
    assert not relay.energised
    assert [r["event"] for r in read_log(tmp_path / "door")] == [
        "started",
        "granted",
        "failed",
        "stopped",
    ]


def test_input_failure_ends_process_locked(tmp_path: Path, wires: FileInputs) -> None:
    relay = SimulatedRelayOutput()
    record = AsyncLogWriter(lambda: AuditLogWriter(tmp_path / "door"))
    service = DoorService(
        SETTINGS,
        DoorHardware(relay, inputs=wires.inputs),
        record,
        DoorPaths.in_folder(tmp_path),
        ReaderSet({}, time.monotonic),
    )
    (tmp_path / "fire").mkdir()
    with pytest.raises(DoorError, match="the input cannot be read"):
        service.step()
    service.close()
    assert not relay.energised


def test_unclean_stop_records_gap(tmp_path: Path) -> None:
    RunningDoor(tmp_path).stop()
    record = AuditLogWriter(tmp_path / "door")
    record.append({"event": "unlocked"})
    record.close()
    terminal = RunningDoor(tmp_path)
    terminal.stop()
    assert terminal.events() == ["started", "stopped", "unlocked", "gap", "started", "stopped"]


class BrokenSchedule:
    """Raises on the day it applies."""

    def __init__(self, strictest: ScheduledMode) -> None:
        self.strictest = strictest

    def at(self, moment: object, *, plausible: bool) -> ScheduledMode:
        raise TypeError("can't compare offset-naive and offset-aware datetimes")


@pytest.mark.parametrize("strictest", [ScheduledMode.LOCKED, ScheduledMode.NORMAL])
def test_schedule_failure_uses_strictest_mode(
    tmp_path: Path, strictest: ScheduledMode, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(schedule=BrokenSchedule(strictest))
    terminal = RunningDoor(tmp_path, settings=settings)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.status()["state"] == "locked"
        assert client.grant(grant()) == ("schedule" if strictest is ScheduledMode.LOCKED else None)
        CLOCK.advance(1.1)  # the schedule is read again
        assert client.status()["reason"] == (
            "schedule-locked" if strictest is ScheduledMode.LOCKED else "normal"
        )
    finally:
        client.close()
        terminal.stop()
    assert [r.message for r in caplog.records].count(
        f"schedule failed: the mode is {strictest.value} until it works"
    ) == 1


@pytest.mark.parametrize("wall", [1e30, float("nan")])
def test_invalid_clock_does_not_end_door(tmp_path: Path, wall: float) -> None:
    terminal = RunningDoor(
        tmp_path,
        settings=make_settings(schedule=FixedSchedule(ScheduledMode.OPEN)),
        wall=lambda: wall,
    )  # type: ignore[arg-type]
    terminal.stop()
    assert not terminal.relay.history and terminal.events()[:1] == ["started"]
