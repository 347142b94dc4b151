"""Settings of a running door: accounts, and reload in a thread."""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config import load_config
from edge.door import config_reloader
from edge.door import settings as door_settings
from edge.door.client import DoorClient
from edge.door.config_reloader import ConfigReloader
from edge.door.settings import build_settings
from edge.errors import ConfigError, MfsaError
from tests.doors import SETTINGS, TIMEOUT_S, RunningDoor, make_settings, records, until

WriteConfig = Callable[..., Path]
STRANGER = "nobody-at-all"


def test_unknown_accounts_are_ignored_at_start(tmp_path: Path, write_config: WriteConfig) -> None:
    found = build_settings(
        load_config(
            write_config(door={"clients": ["daemon", STRANGER], "operators": [STRANGER, "a\0b"]})
        )
    )
    assert found.clients == {pwd.getpwnam("daemon").pw_uid: "daemon"}
    assert set(found.operators) == {0, os.geteuid()}
    assert found.unknown_accounts == (
        f"door.clients: {STRANGER}",
        f"door.operators: {STRANGER}",
        "door.operators: a\0b",
    )
    terminal = RunningDoor(tmp_path, settings=found)
    until(lambda: "started" in terminal.events())
    terminal.stop()
    assert [r["note"] for r in records(terminal, "account-ignored")] == list(found.unknown_accounts)


def test_unknown_accounts_are_refused_at_reload(write_config: WriteConfig) -> None:
    with pytest.raises(ConfigError, match=f"door.operators: {STRANGER}: no such account"):
        reload(ConfigReloader(write_config(door={"operators": [STRANGER]})))


@pytest.mark.parametrize(
    ("key", "installed", "remedy"),
    [
        (
            "clients",
            True,
            "the account that runs edge-daemon, or write an account of this machine: d",
        ),
        ("clients", False, "run systemd/install.sh, which creates mfsa-edge"),
        ("operators", True, "create it with `sudo useradd --groups mfsa-door NAME`"),
    ],
)
def test_unknown_account_names_the_remedy(
    write_config: WriteConfig,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    installed: bool,
    remedy: str,
) -> None:
    monkeypatch.setattr(door_settings, "RECOGNISER_ACCOUNT", "daemon" if installed else STRANGER)
    remedy = remedy.replace("mfsa-edge", "daemon" if installed else STRANGER)
    settings = build_settings(load_config(write_config(door={key: [STRANGER]})))
    with pytest.raises(ConfigError) as caught:
        settings.check_accounts()
    assert f"door.{key}: {STRANGER}: no such account on this machine" in str(caught.value)
    assert remedy in str(caught.value)


def test_operator_names_are_looked_up_early(tmp_path: Path) -> None:
    terminal = RunningDoor(tmp_path, settings=make_settings(operators={os.geteuid(): "guard"}))
    client = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    try:
        assert client.command("lockdown", "drill") is None
    finally:
        client.close()
        terminal.stop()
    assert [r["operator"] for r in records(terminal, "operator-command")] == ["guard"]


def reload(reloader: ConfigReloader) -> object:
    """Return the result of a reload."""
    results: list[object] = []

    def is_done() -> bool:
        results.append(reloader.poll())
        return results[-1] is not None

    reloader.start()
    until(is_done)
    return results[-1]


def test_unexpected_error_in_reload_is_reported(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> object:
        raise RuntimeError("a defect")

    monkeypatch.setattr(config_reloader, "load_config", fail)
    with pytest.raises(MfsaError, match="a defect"):
        reload(ConfigReloader(write_config()))


def test_only_newest_reload_counts(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first load hangs on a disk and ends after the second one."""
    path = write_config(door={"pulse_s": 1.0})
    old, new = load_config(path), load_config(write_config(door={"pulse_s": 2.0}))
    go_on, calls = threading.Event(), iter([True, False])

    def slow_at_first(_: Path) -> object:
        if next(calls):
            assert go_on.wait(TIMEOUT_S)
            return old
        return new

    monkeypatch.setattr(config_reloader, "load_config", slow_at_first)
    reloader = ConfigReloader(path)
    reloader.start()
    assert reload(reloader)[0].door.pulse_s == 2.0  # type: ignore[index]
    go_on.set()
    until(lambda: not any(t.name == "configuration" for t in threading.enumerate()))
    assert reloader.poll() is None


def test_status_shows_refused_reload(terminal: RunningDoor, client: DoorClient) -> None:
    assert client.status()["reload_refused"] == ""
    terminal.pause()
    terminal.service.refuse_reload("terminal.yaml: door.pulse_s: too long")
    terminal.resume()
    assert "too long" in client.status()["reload_refused"]
    terminal.pause()
    terminal.service.reload(SETTINGS)
    terminal.resume()
    assert client.status()["reload_refused"] == ""
