"""`edge-door` as a process: signals, invalid configurations, messages."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.audit.reader import read_log
from edge.cli import door as command
from edge.cli.door_status import status_lines
from edge.config import load_config
from edge.door.client import DoorClient
from edge.door.clock_trust import describe_doubt
from edge.door.events import DoorAlarm
from edge.errors import DoorError
from edge.system.wallclock import REMEDY, ClockDoubt
from tests.processes import TIMEOUT_S, Process, run, until

WriteConfig = Callable[..., Path]
DOOR = "edge.cli.door"


def answers(path: Path) -> bool:
    client = DoorClient(path, timeout_s=TIMEOUT_S)
    try:
        return client.status()["state"] == "locked"
    except DoorError:
        return False
    finally:
        client.close()


def test_many_signals_keep_door_responsive(write_config: WriteConfig, tmp_path: Path) -> None:
    config_path = write_config()
    config = load_config(config_path)
    socket_path = config.socket_path
    with Process(DOOR, "run", "--config", config_path, log=tmp_path / "log") as door:
        until(lambda: answers(socket_path), "serves")
        for _ in range(1000):
            os.kill(door.popen.pid, signal.SIGHUP)
        until(lambda: door.said("configuration reloaded"), "read it")
        assert answers(socket_path)
        assert door.stop() == 0
    events = [r["event"] for r in read_log(config.door_record_path)]
    # A thousand signals cause a few reloads, and the end does not wait for them.
    assert events[-1] == "stopped" and 1 <= events.count("reloaded") < 100


def test_signal_handler_sets_attributes_only() -> None:
    """A handler that takes a lock could wait for the code that it interrupts."""
    requests = command.SignalRequests()
    requests.handle(signal.SIGHUP, None)
    assert vars(requests) == {"stop": False, "reload": True}
    requests.handle(signal.SIGTERM, None)
    assert vars(requests) == {"stop": True, "reload": True}


@pytest.mark.parametrize(
    ("door", "code", "words"),
    [
        ({}, 0, "is valid"),
        ({"pulse_s": -1}, 2, "door.pulse_s"),
        (
            {"clients": ["nobody-at-all"]},
            2,
            "door.clients: nobody-at-all: no such account",
        ),
    ],
)
def test_check_reports_configuration_errors(
    write_config: WriteConfig, door: dict[str, object], code: int, words: str
) -> None:
    done = run(DOOR, "check", "--config", write_config(door=door))
    assert done.returncode == code and words in done.stdout + done.stderr


@pytest.mark.parametrize("under_systemd", [True, False])
def test_invalid_config_pauses_under_systemd(
    tmp_path: Path,
    under_systemd: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """systemd restarts the door 200 ms after each end."""
    slept: list[float] = []
    monkeypatch.setattr(command.time, "sleep", slept.append)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify") if under_systemd else "")
    (tmp_path / "terminal.yaml").write_text("door: [")
    assert command.main(["run", "--config", str(tmp_path / "terminal.yaml")]) == 2
    assert slept == ([5.0] if under_systemd else []) and "not valid YAML" in capsys.readouterr().err


def test_status_lines_name_all_parts() -> None:
    status = {
        "terminal": "hall", "door": "left", "instance": "lane1",
        "state": "locked", "reason": "normal", "relocks_in_s": 0.0,
        "alarms": ["max-unlock-exceeded"], "records_lost": 3,
        "reload_refused": "door.pulse_s: too long", "inputs": {"contact": True},
        "clock": {"doubt": "far-ahead", "confirmed": 0.0},
    }  # fmt: skip
    assert status_lines(status) == [
        "door left of terminal hall, instance lane1",
        "locked (normal): no reason to unlock",
        f"  CLOCK: {describe_doubt(ClockDoubt.AHEAD)}; {REMEDY}",
        "  contact: active",
        f"  ALARM: max-unlock-exceeded: {DoorAlarm.MAX_UNLOCK_EXCEEDED.sentence}",
        "  3 events not recorded since the last one that was: is the disk full?",
        "  configuration refused, the previous one applies: door.pulse_s: too long",
    ]


def test_status_of_other_version_is_printed() -> None:
    status = {
        "terminal": "hall", "door": "main", "instance": None,
        "state": "locked", "reason": "rest", "relocks_in_s": 0.0, "alarms": ["kept-open"],
        "records_lost": 0, "reload_refused": "", "inputs": {}, "clock": {"doubt": ""},
    }  # fmt: skip
    assert status_lines(status) == [
        "door main of terminal hall",
        "locked (rest): unknown code",
        "  ALARM: kept-open: unknown code",
    ]


def test_command_unrecorded_is_printed(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def done(client: DoorClient, name: str, reason: str, argument: str) -> None:
        client.warning = "not recorded yet"

    monkeypatch.setattr(DoorClient, "command", done)
    assert command.main(["lockdown", "--config", str(write_config()), "--reason", "drill"]) == 0
    assert capsys.readouterr().out == "done, but not recorded yet\n"
