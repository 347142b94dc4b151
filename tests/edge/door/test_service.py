from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.audit.log import BoundedLog, JsonLog, read_log
from edge.door import protocol
from edge.door.client import DoorClient
from edge.door.controller import DoorRules, Input, Window
from edge.door.inputs import FileLine, Inputs
from edge.door.service import RECORD_DEADLINE_S, DoorService, Wiring
from edge.door.simulated import SimulatedRelay
from edge.errors import DoorError, RecordError
from edge.values import Grant

PULSE_S = 0.3


class Terminal:
    """A door service on a thread of its own, over a real socket."""

    def __init__(self, folder: Path, record: BoundedLog | None = None, wires: Wires | None = None, **options: Any) -> None:
        self.path = folder / "door.sock"
        self.record_path = folder / "door.jsonl"
        self.relay = SimulatedRelay()
        self.service = DoorService(
            DoorRules(PULSE_S, exit_s=PULSE_S),
            Wiring(self.relay, wires.alarm, wires.inputs) if wires else Wiring(self.relay),
            record or BoundedLog(JsonLog(self.record_path)),
            self.path,
            **options,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.service.step()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self.service.close()

    def events(self) -> list[str]:
        return [r["event"] for r in read_log(self.record_path)]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(terminal: Terminal) -> Iterator[DoorClient]:
    made = DoorClient(terminal.path, timeout_s=5)
    yield made
    made.close()


def grant(name: str = "g1", age: float = 0.0) -> Grant:
    return Grant(name, "Ada", 1, time.monotonic() - age)


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.002)


def test_a_grant_opens_for_one_pulse(terminal: Terminal, client: DoorClient) -> None:
    assert client.status()["state"] == "locked"
    assert client.grant(grant()) is None
    assert client.status()["state"] == "unlocked"
    until(lambda: not terminal.relay.energised)
    (opened, on), (closed, off) = terminal.relay.history
    assert (on, off) == (True, False)
    assert closed - opened >= PULSE_S - 0.01
    until(lambda: terminal.events() == ["started", "granted", "unlocked", "relocked"])


def test_the_record_is_on_disk_before_the_relay_moves(terminal: Terminal, client: DoorClient) -> None:
    seen: list[list[str]] = []
    move = terminal.relay.energise
    terminal.relay.energise = lambda: (seen.append(terminal.events()), move())[1]  # type: ignore[method-assign]
    assert client.grant(grant()) is None
    assert seen == [["started", "granted"]]


def test_replayed_and_stale_grants_are_refused(terminal: Terminal, client: DoorClient) -> None:
    first = grant()
    assert client.grant(first) is None
    assert client.grant(first) == "replayed"
    assert client.grant(grant("old", age=1.5)) == "stale"
    assert client.grant(grant("early", age=-1.5)) == "stale"
    assert len(terminal.relay.history) == 1


def test_closing_locks_and_says_so(terminal: Terminal, client: DoorClient) -> None:
    assert client.grant(grant()) is None
    terminal.stop()
    assert not terminal.relay.energised
    assert terminal.events()[-1] == "stopped"
    with pytest.raises(DoorError, match="is edge-door running"):
        client.status()


def test_a_door_that_was_started_anew_is_found_at_once(tmp_path: Path) -> None:
    client = DoorClient(tmp_path / "door.sock", timeout_s=5)
    for number in range(2):
        terminal = Terminal(tmp_path)
        assert client.grant(grant(f"g{number}")) is None
        terminal.stop()
    client.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b'{"v": 1}',
        b'{"v": 2, "kind": "status"}',
        b'{"v": 1, "kind": "open sesame"}',
        b'{"v": 1, "kind": "grant"}',
        b'{"v": 1, "kind": "grant", "id": 1, "subject": "a", "record_id": 1, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": true, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "", "record_id": 1, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": 1, "frame_at": NaN}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": 1, "frame_at": 1, "pulse_s": 900}',
        b"[" * 4000,
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "\\ud800", "record_id": 1, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": 1, "frame_at": 1' + b"0" * 400 + b"}",
    ],
)
def test_no_packet_opens_or_ends_the_door(terminal: Terminal, client: DoorClient, packet: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.settimeout(5)
        raw.connect(str(terminal.path))
        raw.send(packet)
        if packet:
            assert json.loads(raw.recv(4096))["kind"] == "refused"
    assert client.status()["state"] == "locked"
    assert terminal.relay.history == []


def test_a_peer_that_goes_or_floods_does_not_hold_the_lock(terminal: Terminal, client: DoorClient) -> None:
    assert client.grant(grant()) is None
    flood = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    flood.connect(str(terminal.path))
    flood.setblocking(False)
    ends = time.monotonic() + 2 * PULSE_S
    while time.monotonic() < ends:  # asks without ever reading an answer
        try:
            flood.send(protocol.encode("status", {}))
        except BlockingIOError:
            time.sleep(0.001)
    assert not terminal.relay.energised
    flood.close()
    assert client.status()["state"] == "locked"


def test_too_many_clients_are_turned_away(terminal: Terminal, client: DoorClient) -> None:
    client.status()
    others = [DoorClient(terminal.path, timeout_s=2) for _ in range(12)]
    answers = []
    for other in others:
        try:
            answers.append(other.status()["state"])
        except DoorError:
            answers.append("turned away")
    assert "turned away" in answers and client.status()["state"] == "locked"
    for other in others:
        other.close()


def test_an_unknown_account_is_named(tmp_path: Path) -> None:
    record = BoundedLog(JsonLog(tmp_path / "door.jsonl"))
    with pytest.raises(DoorError, match="there is no account 'nobody-at-all'"):
        DoorService(DoorRules(1.0), Wiring(SimulatedRelay()), record, tmp_path / "s", clients=("nobody-at-all",))
    record.close()


class NoDisk(JsonLog):
    """A disk that is full."""

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        raise RecordError("disk full")


class SlowDisk(JsonLog):
    """A disk that takes longer for a grant than the door waits."""

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        if fields["event"] == "granted":
            time.sleep(2 * RECORD_DEADLINE_S)
        return super().append(fields, durable=durable)


@pytest.mark.parametrize("disk", [NoDisk, SlowDisk])
def test_without_a_record_in_time_the_door_stays_locked(tmp_path: Path, disk: type[JsonLog]) -> None:
    terminal = Terminal(tmp_path, BoundedLog(disk(tmp_path / "door.jsonl")))
    client = DoorClient(terminal.path, timeout_s=5)
    try:
        assert client.grant(grant()) == "not-recorded"
        assert terminal.relay.history == []
        assert client.status()["state"] == "locked"
    finally:
        client.close()
        terminal.stop()


class Stuck(SimulatedRelay):
    """A relay whose pin fails when it is driven."""

    def energise(self) -> None:
        raise DoorError("the relay pin cannot be switched")


def test_a_relay_that_fails_ends_the_process_with_the_lock_released(tmp_path: Path) -> None:
    relay, path = Stuck(), tmp_path / "door.sock"
    service = DoorService(DoorRules(PULSE_S), Wiring(relay), BoundedLog(JsonLog(tmp_path / "door.jsonl")), path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.connect(str(path))
        raw.send(protocol.encode("grant", protocol.grant_fields(grant())))
        with pytest.raises(DoorError, match="cannot be switched"):
            for _ in range(5):
                service.step()
    service.close()
    assert not relay.energised
    assert [r["event"] for r in read_log(tmp_path / "door.jsonl")] == ["started", "granted", "failed", "stopped"]


def test_a_pulse_ends_in_time_while_the_disk_is_slow(tmp_path: Path) -> None:
    """A second grant waits for the disk over the end of the first one's pulse."""

    class SlowSecond(JsonLog):
        def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
            if fields.get("grant_id") == "g2":
                time.sleep(0.15)
            return super().append(fields, durable=durable)

    terminal = Terminal(tmp_path, BoundedLog(SlowSecond(tmp_path / "door.jsonl")))
    client = DoorClient(terminal.path, timeout_s=5)
    try:
        assert client.grant(grant("g1")) is None
        time.sleep(PULSE_S - 0.05)
        assert client.grant(grant("g2")) is None
        (opened, _), (closed, _), (again, _) = terminal.relay.history
        assert closed - opened < PULSE_S + 0.1 and again > closed
    finally:
        client.close()
        terminal.stop()


# ------------------------------------------------------------------ inputs, operators, schedule, restarts


class Wires:
    """Inputs as files, and both relays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.alarm = SimulatedRelay()
        self.inputs = Inputs({which: FileLine(folder / which.value) for which in Input}, dict.fromkeys(Input, 0.0))

    def put(self, which: Input, active: bool) -> None:
        fresh = self._folder / f"{which.value}.fresh"
        fresh.write_text("1" if active else "0")
        fresh.replace(self._folder / which.value)


@pytest.fixture
def wires(tmp_path: Path) -> Wires:
    return Wires(tmp_path)


@pytest.fixture
def wired(tmp_path: Path, wires: Wires) -> Iterator[Terminal]:
    made = Terminal(tmp_path, wires=wires)
    yield made
    made.stop()


@pytest.fixture
def operator(wired: Terminal) -> Iterator[DoorClient]:
    made = DoorClient(wired.path, timeout_s=5)
    yield made
    made.close()


def records(terminal: Terminal, event: str) -> list[dict[str, Any]]:
    return [r for r in read_log(terminal.record_path) if r["event"] == event]


def test_the_exit_button_and_fire_open_whatever_an_operator_said(wired: Terminal, wires: Wires, operator: DoorClient) -> None:
    assert operator.command("lockdown", "drill") is None
    assert operator.grant(grant()) == "lockdown" and operator.status()["reason"] == "lockdown"
    wires.put(Input.EXIT, True)
    until(lambda: wired.relay.energised)
    wires.put(Input.EXIT, False)
    until(lambda: not wired.relay.energised)
    wires.put(Input.FIRE, True)
    until(lambda: wired.relay.energised)
    assert operator.command("reset-fire", "too early") == "the fire input is still active"
    wires.put(Input.FIRE, False)
    time.sleep(0.1)
    assert wired.relay.energised and operator.status()["reason"] == "fire"
    assert operator.command("reset-fire", "false alarm") is None
    until(lambda: not wired.relay.energised)
    assert [(r["reason"], r["note"]) for r in records(wired, "asked")] == [
        ("lockdown", "drill"), ("reset-fire", "too early"), ("reset-fire", "false alarm"),
    ]  # fmt: skip
    assert all(r["operator"] for r in records(wired, "asked"))


def test_a_forced_door_drives_the_alarm_relay(wired: Terminal, wires: Wires, operator: DoorClient) -> None:
    wires.put(Input.CONTACT, False)
    until(lambda: operator.status()["inputs"].get("contact") is False)
    wires.put(Input.CONTACT, True)
    until(lambda: wires.alarm.energised)
    assert operator.status()["alarms"] == ["forced-open"] and not wired.relay.energised
    wires.put(Input.CONTACT, False)
    until(lambda: not wires.alarm.energised)
    until(lambda: [r["reason"] for r in records(wired, "alarm-ended")] == ["forced-open"])


def test_what_restricts_and_fire_outlive_a_restart_and_hold_does_not(tmp_path: Path, wires: Wires) -> None:
    def life(*commands: str, fire: bool = False) -> tuple[str, bool]:
        terminal = Terminal(tmp_path, wires=Wires(tmp_path))
        client = DoorClient(terminal.path, timeout_s=5)
        try:
            at_start = client.status()["reason"], terminal.relay.energised
            if fire:
                wires.put(Input.FIRE, True)
                until(lambda: client.status()["reason"] == "fire")
                wires.put(Input.FIRE, False)
                time.sleep(0.1)
            for command in commands:
                assert client.command(command, "test") is None
            return at_start
        finally:
            client.close()
            terminal.stop()

    assert life("hold") == ("rest", False)
    assert life("lockdown") == ("rest", False)
    assert life("release", fire=True) == ("lockdown", False)
    assert life("reset-fire") == ("fire", True)
    assert life() == ("rest", False)


def test_commands_that_are_wrong_do_nothing(wired: Terminal, operator: DoorClient) -> None:
    assert "expected one of unlock" in str(operator.command("open-sesame", "please"))
    assert "a reason of 1 to" in str(operator.command("hold", ""))
    assert operator.status()["state"] == "locked"


class Schedules:
    """One span, always open."""

    def __init__(self, window: Window) -> None:
        self.window, self.doubts = window, 0

    def at(self, moment: object, *, plausible: bool) -> Window:
        self.doubts += not plausible
        return self.window if plausible or self.window is Window.LOCKED else Window.NORMAL


@pytest.mark.parametrize(("wall", "state"), [(2e9, "unlocked"), (0.0, "locked"), (1.7e9, "locked")])
def test_a_clock_that_was_never_set_opens_no_door(tmp_path: Path, wall: float, state: str) -> None:
    terminal = Terminal(tmp_path, schedule=Schedules(Window.OPEN), wall=lambda: wall)
    client = DoorClient(terminal.path, timeout_s=5)
    try:
        assert client.status()["state"] == state
    finally:
        client.close()
        terminal.stop()


def test_a_clock_before_the_last_record_is_not_believed(tmp_path: Path) -> None:
    Terminal(tmp_path).stop()
    now = time.time()
    for wall, believed in ((now + 5, True), (now - 3600, False)):
        terminal = Terminal(tmp_path, schedule=Schedules(Window.OPEN), wall=lambda wall=wall: wall)
        client = DoorClient(terminal.path, timeout_s=5)
        try:
            assert (client.status()["state"] == "unlocked") == believed
        finally:
            client.close()
            terminal.stop()


def test_an_input_that_fails_ends_the_process_locked(tmp_path: Path, wires: Wires) -> None:
    relay = SimulatedRelay()
    service = DoorService(
        DoorRules(PULSE_S), Wiring(relay, inputs=wires.inputs), BoundedLog(JsonLog(tmp_path / "door.jsonl")), tmp_path / "s"
    )
    (tmp_path / "fire").mkdir()
    with pytest.raises(DoorError, match="the input cannot be read"):
        service.step()
    service.close()
    assert not relay.energised


@pytest.mark.parametrize("command", ["unlock", "lockdown"])
def test_without_a_disk_an_operator_may_restrict_but_not_open(tmp_path: Path, command: str) -> None:
    terminal = Terminal(tmp_path, BoundedLog(NoDisk(tmp_path / "door.jsonl")))
    client = DoorClient(terminal.path, timeout_s=5)
    try:
        assert client.command(command, "test") == (None if command == "lockdown" else "not-recorded")
        assert client.status()["reason"] == ("lockdown" if command == "lockdown" else "rest")
    finally:
        client.close()
        terminal.stop()
