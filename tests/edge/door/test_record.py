"""States that survive a restart, and disks that do not take them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from edge.access.schedule import ScheduledMode
from edge.audit.reader import read_log
from edge.audit.writer import AuditLogWriter
from edge.door.client import DoorClient
from edge.door.events import DoorEventCode, EventCause
from edge.door.record import PreviousRun, load_previous_run
from edge.door.requests import NOT_YET_RECORDED
from edge.door.timing import LatchedStates
from edge.errors import RecordError
from edge.system.wallclock import ClockTrust
from edge.values import DoorEvent
from tests.doors import (
    CLOCK,
    TIMEOUT_S,
    FixedSchedule,
    HangingDisk,
    RecoveringDisk,
    RunningDoor,
    grant,
    make_settings,
    make_timing,
    passing,
    records,
    until,
)
from tests.processes import until as wait_until


def locked_down(path: Path) -> bool:
    return load_previous_run(path).latches.lockdown


def test_command_is_acknowledged_once_recorded(tmp_path: Path) -> None:
    terminal = RunningDoor(tmp_path)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.command("lockdown", "drill") is None and client.warning == ""
        assert locked_down(terminal.record_path)  # a power cut now keeps the door locked
        assert client.command("release", "over") is None and client.warning == ""
        assert not locked_down(terminal.record_path)
    finally:
        client.close()
        terminal.stop()


def test_command_unrecorded_warns_and_is_retried(tmp_path: Path) -> None:
    disk = RecoveringDisk(tmp_path / "door")
    terminal = RunningDoor(tmp_path, lambda _: disk)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.command("lockdown", "drill") is None and client.warning == NOT_YET_RECORDED
        assert client.status()["reason"] == "lockdown" and not locked_down(terminal.record_path)
        lost = client.status()["records_lost"]
        for _ in range(3):
            CLOCK.advance(1.2)
            assert client.status()["records_lost"] == lost  # a repeated record counts once
        disk.full = False
        until(lambda: locked_down(terminal.record_path))
    finally:
        client.close()
        terminal.stop()


def test_lockdown_does_not_wait_for_disk(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path / "door")
    terminal = RunningDoor(
        tmp_path,
        lambda _: disk,
        settings=make_settings(timing=make_timing(pulse_s=900.0), unlock_unrecorded=True),
    )
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    asked: list[str | None] = []
    order = threading.Thread(target=lambda: asked.append(client.command("lockdown", "drill")))
    try:
        with passing():
            assert client.grant(grant()) is None and terminal.relay.energised
        order.start()
        # The clock does not advance: no deadline ends the wait.
        wait_until(lambda: not (terminal.relay.energised and order.is_alive()), "locks")
        assert order.is_alive()
        with passing():
            order.join(TIMEOUT_S)
        assert asked == [None] and client.warning == NOT_YET_RECORDED
    finally:
        disk.released.set()
        client.close()
        terminal.stop()


def test_full_queue_keeps_latches(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path / "door")
    terminal = RunningDoor(tmp_path, lambda _: disk)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        terminal.pause()
        for _ in range(70):
            terminal.service.door.append(DoorEventCode.CONTACT_ACTIVE, EventCause.INPUT)
        terminal.resume()
        assert client.status()["records_lost"] > 0
        # The clock does not advance: the full queue answers, not a deadline.
        assert client.command("lockdown", "drill") is None and client.warning == NOT_YET_RECORDED
        disk.released.set()
        until(lambda: locked_down(terminal.record_path))
    finally:
        disk.released.set()
        client.close()
        terminal.stop()


class NoFile(AuditLogWriter):
    """Audit log in a folder that is not writable."""

    possible = False

    def __init__(self, path: Path) -> None:
        if not self.possible:
            raise RecordError("read-only file system")
        super().__init__(path)


def test_unopenable_record_does_not_stop_door(tmp_path: Path) -> None:
    class Once(NoFile): ...

    terminal = RunningDoor(tmp_path, Once)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant("g1")) == "not-recorded"
        assert client.command("lockdown", "drill") is None and client.warning == NOT_YET_RECORDED
        assert client.command("release", "over") is None
        until(lambda: client.status()["records_lost"] >= 4)
        Once.possible = True
        assert client.grant(grant("g2")) is None
        assert client.status()["records_lost"] == 0
    finally:
        client.close()
        terminal.stop()
    first = read_log(terminal.record_path)[0]
    assert first["id"] == 1 and first["lost"] >= 4


@pytest.mark.parametrize(
    "content",
    [b"\0" * 4096, b'{"id": 1, "event": "started"}\t\n', None, "a file in place of the folder"],
)
def test_unreadable_record_starts_in_lockdown(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "door"
    if isinstance(content, str):
        path.write_text(content)
    elif content is None:
        (path / "000000001.log").mkdir(parents=True)
    else:
        path.mkdir()
        (path / "000000001.log").write_bytes(content)
    terminal = RunningDoor(tmp_path)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.status()["reason"] == "lockdown"
        assert (
            client.command("release", "looked at it") is None
            and client.status()["reason"] == "normal"
        )
    finally:
        client.close()
        terminal.stop()
    if isinstance(content, bytes):
        assert [r["reason"] for r in records(terminal, "gap")] == ["unreadable-record"]


def test_reading_previous_run_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "door"
    assert load_previous_run(path) == PreviousRun() and not path.exists()
    path.mkdir()
    segment = path / "000000001.log"
    segment.write_bytes(
        b'{"wall": 1.8e9, "event": "fire", "latches": ["fire"]}\t\n'
        b'{"wall": 1.9e9, "latest_believed": 1.5e9'
    )
    before = segment.read_bytes()
    assert (
        load_previous_run(path) == PreviousRun(LatchedStates(fire=True), ClockTrust(1.8e9), "fire")
        and segment.read_bytes() == before
    )
    assert [p.name for p in path.iterdir()] == ["000000001.log"]


@pytest.mark.parametrize("content", [b"", b'{"id":7,"wall":18'])
def test_empty_new_segment_keeps_latches(tmp_path: Path, content: bytes) -> None:
    """A power cut while the first record of a segment is written."""
    path = tmp_path / "door"
    log = AuditLogWriter(path)
    log.append({"event": "lockdown", "latches": ["lockdown"]})
    log.close()
    (path / "000000002.log").write_bytes(content)
    assert locked_down(path) and load_previous_run(path).error is None
    terminal = RunningDoor(tmp_path)
    terminal.stop()
    assert [r["id"] for r in read_log(path)][:2] == [1, 2]


def test_log_maintenance_records_keep_latches(tmp_path: Path) -> None:
    path = tmp_path / "door"
    log = AuditLogWriter(path)
    log.append({"event": "lockdown", "reason": "operator", "latches": ["lockdown"]})
    log.append({"kind": "retention", "reason": "removed", "upto": 0})
    log.close()
    assert locked_down(path) and load_previous_run(path).last_event == "lockdown"


def test_refusals_are_rate_limited_and_counted(tmp_path: Path) -> None:
    terminal = RunningDoor(tmp_path)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        for number in range(100):
            assert client.grant(grant(f"old{number}", age=9.0)) == "stale"
        CLOCK.advance(1.1)

        def is_counted() -> bool:
            refused = records(terminal, "refused")
            return sum(record.get("left_out", 1) for record in refused) == 100

        until(is_counted)
        assert len(records(terminal, "refused")) == 5
    finally:
        client.close()
        terminal.stop()


def test_suppressed_refusals_survive_full_disk(tmp_path: Path) -> None:
    disk = RecoveringDisk(tmp_path / "door")
    terminal = RunningDoor(tmp_path, lambda _: disk)
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        for number in range(50):
            client.grant(grant(f"old{number}", age=9.0))
        CLOCK.advance(1.2)
        until(lambda: any("left_out" in fields for fields in disk.refused))
        disk.full = False
        until(lambda: sum(r.get("left_out", 0) for r in records(terminal, "refused")) >= 40)
    finally:
        client.close()
        terminal.stop()


class TestClock:
    """Runs of a door with a clock that may be wrong."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.now = 1.8e9

    def life(self, *jumps: float) -> list[bool]:
        """Return if the door is unlocked at the start and after each jump of the clock."""
        terminal = RunningDoor(
            self.path,
            lambda path: AuditLogWriter(path, wall=lambda: self.now),
            settings=make_settings(schedule=FixedSchedule(ScheduledMode.OPEN)),
            wall=lambda: self.now,
        )
        terminal.pause()
        opened = [terminal.relay.energised]
        for jump in jumps:
            self.now += jump
            CLOCK.advance(1.5)  # the schedule is read every second
            terminal.service.step()
            opened.append(terminal.relay.energised)
        terminal.service.close()
        return opened

    def test_clock_doubt_survives_restarts(self) -> None:
        assert self.life() == [True]
        self.now -= 3600
        for _ in range(3):
            assert self.life() == [False]
        marked = [r.get("latest_believed") for r in read_log(self.path / "door")]
        assert marked[:2] == [None, None] and 1.8e9 <= marked[-1] < 1.8e9 + 60
        self.now = 1.8e9 + 1
        assert self.life() == [True]

    def test_clock_jump_while_running_is_doubted(self) -> None:
        assert self.life(5000.0, -3600.0, 3600.0) == [True, True, False, True]

    def test_clock_doubt_survives_many_records(self) -> None:
        """The end of the log has no record of a trusted clock any more."""
        assert self.life() == [True]
        self.now -= 3600
        log = AuditLogWriter(self.path / "door", wall=lambda: self.now)
        for _ in range(1000):
            log.append({"event": "refused", "latest_believed": 1.8e9, "latches": []}, durable=False)
        log.close()
        assert self.life() == [False]


@pytest.mark.parametrize("wall", ["1e999", "NaN", "-Infinity", "9" * 400, "true", '"late"'])
def test_damaged_time_in_record_is_ignored(tmp_path: Path, wall: str) -> None:
    path = tmp_path / "door"
    path.mkdir()
    (path / "000000001.log").write_text(
        '{"id":1,"wall":1.8e9,"event":"started","latches":[]}\n'
        f'{{"id":2,"wall":{wall},"event":"fire","latches":["fire"]}}\n'
    )
    assert load_previous_run(path) == PreviousRun(
        LatchedStates(fire=True), ClockTrust(1.8e9), "fire"
    )


def test_hung_disk_keeps_queue_bounded(tmp_path: Path) -> None:
    """Ten thousand events while the disk hangs; the gap record counts them by kind."""
    held: list[HangingDisk] = []

    def disk(path: Path) -> HangingDisk:
        held.append(HangingDisk(path))
        return held[0]

    terminal = RunningDoor(tmp_path, disk)
    terminal.pause()
    record = terminal.service.door.log
    for _ in range(10_000):
        record.append(DoorEvent("rex-active", "input", time.monotonic()))
    record.append(DoorEvent("alarm", "forced-open", time.monotonic()))
    assert record.lost > 9_900  # the queue takes the others
    until(lambda: bool(held))
    held[0].released.set()
    terminal.resume()
    until(lambda: bool(records(terminal, "gap")))
    terminal.stop()
    (gap,) = records(terminal, "gap")
    on_record = len(records(terminal, "rex-active"))
    assert gap["dropped"] == {"rex-active": 10_000 - on_record, "alarm": 1}
    assert gap["lock"] == "locked" and gap["alarms"] == []
