"""Inputs, operators, schedule and reload of a running door."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.access.schedule import ScheduledMode
from edge.door import connections, protocol
from edge.door.client import DoorClient
from edge.door.controller import InputKind
from edge.errors import DoorError
from tests.doors import (
    CLOCK,
    PULSE_S,
    SETTINGS,
    TIMEOUT_S,
    FileInputs,
    FixedSchedule,
    RunningDoor,
    grant,
    make_settings,
    make_timing,
    records,
    until,
)
from tests.lanes import make_people


def test_rex_and_fire_open_in_lockdown(
    wired: RunningDoor, wires: FileInputs, operator: DoorClient
) -> None:
    assert operator.command("lockdown", "drill") is None
    assert operator.grant(grant()) == "lockdown" and operator.status()["reason"] == "lockdown"
    wires.put(InputKind.REX, True)
    until(lambda: wired.relay.energised)
    wires.put(InputKind.REX, False)
    until(lambda: not wired.relay.energised)
    wires.put(InputKind.FIRE, True)
    until(lambda: wired.relay.energised)
    assert operator.command("reset-fire", "too early") == "fire-input-active"
    wires.put(InputKind.FIRE, False)
    until(lambda: operator.status()["inputs"]["fire"] is False)
    CLOCK.advance(60.0)
    assert wired.relay.energised and operator.status()["reason"] == "fire"
    assert operator.command("reset-fire", "false alarm") is None
    until(lambda: not wired.relay.energised)
    assert [(r["reason"], r["note"]) for r in records(wired, "operator-command")] == [
        ("lockdown", "drill"), ("reset-fire", "too early"), ("reset-fire", "false alarm"),
    ]  # fmt: skip
    assert all(r["operator"] for r in records(wired, "operator-command"))


def test_forced_open_energises_alarm_relay(
    wired: RunningDoor, wires: FileInputs, operator: DoorClient
) -> None:
    wires.put(InputKind.CONTACT, False)
    until(lambda: operator.status()["inputs"].get("contact") is False)
    wires.put(InputKind.CONTACT, True)
    until(lambda: wires.alarm.energised)
    assert operator.status()["alarms"] == ["forced-open"] and not wired.relay.energised
    wires.put(InputKind.CONTACT, False)
    until(lambda: not wires.alarm.energised)
    until(lambda: [r["reason"] for r in records(wired, "alarm-ended")] == ["forced-open"])


def test_restart_keeps_latches_but_not_hold(tmp_path: Path, wires: FileInputs) -> None:
    def life(*commands: str, fire: bool = False) -> tuple[str, bool]:
        terminal = RunningDoor(tmp_path, wires=FileInputs(tmp_path))
        client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
        try:
            at_start = client.status()["reason"], terminal.relay.energised
            if fire:
                wires.put(InputKind.FIRE, True)
                until(lambda: client.status()["reason"] == "fire")
                wires.put(InputKind.FIRE, False)
                until(lambda: client.status()["inputs"]["fire"] is False)
            for command in commands:
                assert client.command(command, "test") is None
            return at_start
        finally:
            client.close()
            terminal.stop()

    assert life("hold") == ("normal", False)
    assert life("lockdown") == ("normal", False)
    assert life("release", fire=True) == ("lockdown", False)
    assert life("reset-fire") == ("fire", True)
    assert life() == ("normal", False)


def test_invalid_commands_change_nothing(wired: RunningDoor, operator: DoorClient) -> None:
    assert "expected one of unlock" in str(operator.command("open-sesame", "please"))
    assert "reason: expected 1 to" in str(operator.command("hold", ""))
    assert operator.status()["state"] == "locked"


@pytest.mark.parametrize(("wall", "state"), [(2e9, "unlocked"), (0.0, "locked"), (1.7e9, "locked")])
def test_clock_never_set_does_not_open(tmp_path: Path, wall: float, state: str) -> None:
    terminal = RunningDoor(
        tmp_path,
        settings=make_settings(schedule=FixedSchedule(ScheduledMode.OPEN)),
        wall=lambda: wall,
    )
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.status()["state"] == state
    finally:
        client.close()
        terminal.stop()


def test_clock_before_last_record_is_not_trusted(tmp_path: Path) -> None:
    RunningDoor(tmp_path).stop()
    now = time.time()
    for wall, believed in ((now + 5, True), (now - 3600, False)):
        terminal = RunningDoor(
            tmp_path,
            settings=make_settings(schedule=FixedSchedule(ScheduledMode.OPEN)),
            wall=lambda wall=wall: wall,
        )
        client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
        try:
            assert (client.status()["state"] == "unlocked") == believed
        finally:
            client.close()
            terminal.stop()


def test_reload_applies_new_settings(terminal: RunningDoor) -> None:
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant("g1")) is None and client.status()["relocks_in_s"] <= PULSE_S
        terminal.pause()
        terminal.service.reload(
            make_settings(
                timing=make_timing(pulse_s=9.0), schedule=FixedSchedule(ScheduledMode.LOCKED)
            )
        )
        terminal.resume()
        assert client.grant(grant("g2")) == "schedule"
        terminal.pause()
        terminal.service.reload(make_settings(timing=make_timing(pulse_s=9.0)))
        terminal.resume()
        assert client.grant(grant("g3")) is None and 8 < client.status()["relocks_in_s"] <= 9
    finally:
        client.close()
    assert terminal.events().count("reloaded") == 2


def test_reload_disconnects_removed_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "peer_uid", lambda _: 54321)
    terminal = RunningDoor(tmp_path, settings=make_settings(clients={54321: "recogniser"}))
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.status()["state"] == "locked"
        terminal.pause()
        terminal.service.reload(SETTINGS)
        terminal.resume()
        with pytest.raises(DoorError, match="closed the connection"):
            client.status()
    finally:
        client.close()
        terminal.stop()


def test_grants_of_operators_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "peer_uid", lambda _: 54321)
    terminal = RunningDoor(tmp_path, settings=make_settings(operators={54321: "guard"}))
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant()) == "this account is not in `door.clients`"
        assert client.command("unlock", "delivery") is None
    finally:
        client.close()
        terminal.stop()


def test_extended_person_opens_longer(tmp_path: Path) -> None:
    make_people(tmp_path, {"Ada": {"extended": True}})
    terminal = RunningDoor(
        tmp_path, settings=make_settings(timing=make_timing(pulse_s=PULSE_S, extended_pulse_s=5.0))
    )
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.grant(grant()) is None
        assert PULSE_S < client.status()["relocks_in_s"] <= 5
    finally:
        client.close()
        terminal.stop()


def test_trust_clock_opens_by_schedule_again(tmp_path: Path) -> None:
    """A clock that was twenty days ahead is corrected, and confirmed by an operator."""
    now = [time.time() + 20 * 86400]
    settings = make_settings(schedule=FixedSchedule(ScheduledMode.OPEN))  # type: ignore[arg-type]
    RunningDoor(tmp_path, settings=settings, wall=lambda: now[0]).stop()
    now[0] -= 20 * 86400
    terminal = RunningDoor(tmp_path, settings=settings, wall=lambda: now[0])
    client = DoorClient(terminal.path, timeout_s=5)
    try:
        assert client.status()["clock"]["doubt"] == "before-last-record"
        until(lambda: client.command("trust-clock", "compared with my watch") is None)
        until(lambda: client.status()["state"] == "unlocked")
    finally:
        client.close()
        terminal.stop()
    terminal = RunningDoor(tmp_path, settings=settings, wall=lambda: now[0])
    terminal.stop()
    confirmed = records(terminal, "clock-trusted")[-1]
    assert confirmed["note"] == "compared with my watch" and confirmed["operator"]
    started = records(terminal, "started")
    assert ["latest_believed" in record for record in started] == [False, True, False]


def test_user_of_console_is_recorded(wired: RunningDoor, wires: FileInputs) -> None:
    """The console states its user; the account that sent the command is verified."""
    client = DoorClient(wired.path, timeout_s=TIMEOUT_S)
    wires.put(InputKind.FIRE, True)
    until(lambda: wired.relay.energised)
    assert client.command("lockdown", "drill", user="Ada Lovelace") is None
    assert client.command("reset-fire", "drill", user="Ada Lovelace") == "fire-input-active"
    assert client.command("reset-anti-passback", "drill", user="Ben") is None
    assert client.command("trust-clock", "my watch", user="Cleo") is None
    assert client.command("release", "drill over") is None
    client.close()
    found = [
        (r["reason"], r.get("user"), bool(r["operator"]))
        for r in wired.read_records()
        if "operator" in r
    ]
    assert found == [
        ("lockdown", "Ada Lovelace", True),
        ("reset-fire", "Ada Lovelace", True),
        ("fire-input-active", "Ada Lovelace", True),
        ("reset-anti-passback", "Ben", True),
        ("operator", "Cleo", True),
        ("release", None, True),
    ]


@pytest.mark.parametrize("user", ["", "x" * 65, "a\nb", 7, None, ["Ada"]])
def test_invalid_user_is_refused(user: object) -> None:
    fields = {"command": "hold", "argument": "", "note": "delivery", "user": user}
    with pytest.raises(DoorError, match=r"malformed: expected .*user"):
        protocol.parse_command(fields)


def test_trust_clock_needs_a_time_after_build(tmp_path: Path) -> None:
    terminal = RunningDoor(tmp_path, wall=lambda: 0.0)
    client = DoorClient(terminal.path, timeout_s=5)
    try:
        assert "before this software was built" in str(client.command("trust-clock", "please"))
        assert client.status()["clock"]["doubt"] == "before-build-date"
    finally:
        client.close()
        terminal.stop()


def test_status_held_names_no_end(wired: RunningDoor, operator: DoorClient) -> None:
    """The end of a pulse does not end a hold."""
    assert operator.command("unlock", "delivery") is None
    assert operator.status()["relocks_in_s"] > 0
    assert operator.command("hold", "delivery") is None
    status = operator.status()
    assert (status["state"], status["reason"], status["relocks_in_s"]) == ("unlocked", "hold", 0)
