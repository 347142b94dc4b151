"""Recogniser and door under a small model of systemd: killed, stopped, reloaded."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge.audit.reader import read_log
from edge.door.client import DoorClient
from tests.doors import grant
from tests.faults.scenes import FAULTS, Fault
from tests.faults.terminal import PULSE_S, Terminal
from tests.processes import TIMEOUT_S, until


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path) -> Iterator[Terminal]:
    with Terminal(tmp_path_factory.mktemp("faults") / "terminal", bundle_path) as made:
        made.energised_after(0.0)
        yield made


def fault(name: str) -> Fault:
    return next(f for f in FAULTS if f.name == name)


def said(terminal: Terminal, unit: str, words: str) -> bool:
    return words in (terminal.folder / f"{unit}.service.log").read_text()


def change(terminal: Terminal, key: str, value: object) -> None:
    """Write one key such as `door.pulse_s` into the configuration."""
    fields = yaml.safe_load(terminal.config_path.read_text())
    section, name = key.split(".")
    fields.setdefault(section, {})[name] = value
    terminal.config_path.write_text(yaml.safe_dump(fields), encoding="utf-8")


@pytest.mark.parametrize(("name", "by_watchdog"), [("door: kill -9", 0), ("door: SIGSTOP", 1)])
def test_door_killed_or_hung_locks_and_restarts(
    terminal: Terminal, name: str, by_watchdog: int
) -> None:
    starts, kills = terminal.door.starts, terminal.door.watchdog_kills
    opened = terminal.energised_after(time.monotonic())
    with fault(name).begin(terminal):
        until(lambda: terminal.door.starts == starts + 1, "restarted")
        assert not terminal.line.energised  # `edge-door safe-state` has de-energised it before
    assert terminal.door.watchdog_kills == kills + by_watchdog
    terminal.energised_after(opened + 1.0)
    events = [r["event"] for r in read_log(terminal.config.door_record_path)]
    assert events[-1 - events[::-1].index("gap") :][:2] == ["gap", "started"]


def test_door_on_a_full_disk_refuses_grants(
    terminal: Terminal,
) -> None:
    starts = terminal.door.starts
    terminal.wait_locked()
    terminal.energised_after(time.monotonic())
    with fault("disk full, then door: kill -9").begin(terminal):
        until(lambda: terminal.door.starts == starts + 1, "restarted")
        began = time.monotonic()
        until(
            lambda: terminal.door.ready.is_set() and terminal.door.last_status == "locked (normal)",
            "serves",
        )
        client = DoorClient(terminal.config.socket_path, timeout_s=TIMEOUT_S)
        assert client.grant(grant(clock=time.monotonic)) == "not-recorded"
        client.close()
        assert terminal.line.energised_since(began) is None and terminal.door.starts == starts + 1
    terminal.energised_after(time.monotonic())


def test_recogniser_killed_restarts_with_gap(terminal: Terminal) -> None:
    starts = terminal.daemon.starts
    with fault("recogniser: kill -9").begin(terminal):
        until(lambda: terminal.daemon.starts == starts + 1, "restarted")
    terminal.energised_after(time.monotonic())
    kinds = [r["kind"] for r in read_log(terminal.config.decisions_path)]
    assert kinds[-1 - kinds[::-1].index("gap") :][:2] == ["gap", "started"]


def test_door_reload_applies_all_or_nothing(terminal: Terminal) -> None:
    def reload() -> None:
        os.kill(terminal.door.pid, signal.SIGHUP)

    pid = terminal.door.pid
    change(terminal, "door.pulse_s", -1)
    reload()
    until(
        lambda: said(terminal, "edge-door", "configuration not reloaded"),
        "refused the invalid file",
    )
    until(lambda: "configuration refused" in terminal.door.last_status, "reported to systemd")
    longer_s = 1.8 * PULSE_S  # less than the time from one grant to the next
    change(terminal, "door.pulse_s", longer_s)
    change(terminal, "door.held_open_s", 17.0)
    reload()
    until(
        lambda: said(terminal, "edge-door", "configuration reloaded"),
        "applied the valid file",
    )
    terminal.wait_locked()
    opened = terminal.energised_after(time.monotonic())
    terminal.wait_locked()
    assert terminal.line.changes[-1][0] - opened > longer_s - 0.1 and terminal.door.pid == pid
    change(terminal, "door.pulse_s", PULSE_S)
    change(terminal, "door.relay", {"kind": "file", "path": "elsewhere"})
    reload()
    until(
        lambda: said(terminal, "edge-door", "door.relay: another value needs a restart"),
        "named the key that needs a restart",
    )
    change(terminal, "door.relay", {"kind": "file", "path": "relay"})
    assert not (terminal.folder / "elsewhere").exists()


def test_recogniser_reload_applies_all_or_nothing(
    terminal: Terminal,
) -> None:
    def reload() -> None:
        os.kill(terminal.daemon.pid, signal.SIGHUP)

    pid = terminal.daemon.pid
    change(terminal, "policy.threshold_unmasked", 0.1)
    reload()
    until(
        lambda: said(terminal, "edge-daemon", "is below the model's own"),
        "refused a threshold that is too low",
    )
    change(terminal, "policy.threshold_unmasked", None)
    change(terminal, "detector.min_face_px", 2000)
    reload()
    until(
        lambda: said(terminal, "edge-daemon", "configuration and gallery were read again"),
        "applied the valid file",
    )
    asked = time.monotonic()
    until(
        lambda: any(
            r.get("reason") == "too-small" and r["mono"] > asked
            for r in read_log(terminal.config.decisions_path)
        ),
        "uses the new value",
    )
    change(terminal, "detector.min_face_px", 60)
    change(terminal, "camera.fps", 5)
    reload()
    until(
        lambda: said(terminal, "edge-daemon", "camera: another value needs a restart"),
        "named the key that needs a restart",
    )
    change(terminal, "camera.fps", 10)
    reload()
    terminal.energised_after(time.monotonic())
    assert terminal.daemon.pid == pid


def test_readiness_and_status_reach_systemd(terminal: Terminal) -> None:
    until(lambda: terminal.daemon.last_status.endswith("frames"), "reports its status")
    with fault("camera hangs").begin(terminal):
        beats = terminal.daemon.heartbeats
        until(lambda: terminal.daemon.heartbeats > beats + 2, "is alive without frames")
        assert terminal.daemon.ready.is_set() and terminal.daemon.watchdog_kills == 0
