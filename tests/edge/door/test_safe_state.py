"""Safe state after a kill: saved outputs count, not the configuration."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.cli.door import main
from edge.config import load_config
from edge.config.relay import FileRelayConfig
from edge.door import hardware
from edge.errors import AlreadyRunningError, LockFileError
from edge.system.lockfile import acquire_lock

WriteConfig = Callable[..., Path]


class Site:
    """Terminal whose door process was killed with both outputs energised."""

    def __init__(self, folder: Path, write_config: WriteConfig) -> None:
        self.lines = folder / "relay", folder / "alarm"
        relay, alarm = ({"kind": "file", "path": str(line)} for line in self.lines)
        self.config_path = write_config(door={"relay": relay, "alarm": alarm})
        self.config = load_config(self.config_path)
        hardware.save_outputs(
            hardware.configured_outputs(self.config.door), self.config.door_outputs_path
        )
        self.drive()

    def drive(self) -> None:
        for line in self.lines:
            line.write_text("1\n")

    @property
    def at_rest(self) -> list[bool]:
        return [line.read_text() == "0\n" for line in self.lines]

    def rest(self) -> int:
        return main(["safe-state", "--config", str(self.config_path)])


@pytest.fixture
def site(tmp_path: Path, write_config: WriteConfig) -> Site:
    return Site(tmp_path, write_config)


def test_safe_state_covers_lock_and_alarm(site: Site) -> None:
    assert site.rest() == 0 and site.at_rest == [True, True]


@pytest.mark.parametrize("today", ["door: [", "nonsense: 1"])
def test_safe_state_works_with_broken_config(
    site: Site, today: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.config_path.write_text(today)
    monkeypatch.setenv(
        "RUNTIME_DIRECTORY", str(site.config.door_outputs_path.parent)
    )  # as set by systemd
    assert site.rest() == 0 and site.at_rest == [True, True]


def test_safe_state_uses_the_folder_of_one_door(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder that all doors share is the lock of another door, which may run."""
    shared = site.config.door_outputs_path.parent
    folder = shared / "left"
    folder.mkdir()
    site.config.door_outputs_path.rename(folder / site.config.door_outputs_path.name)
    site.config_path.write_text("")
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{shared}:{folder}")
    lock = acquire_lock(site.config.door_lock_path, "edge-door", "door.name")
    try:
        assert site.rest() == 0 and site.at_rest == [True, True]
    finally:
        os.close(lock)


def test_safe_state_uses_saved_outputs(
    site: Site, write_config: WriteConfig, tmp_path: Path
) -> None:
    write_config(door={"relay": {"kind": "file", "path": "elsewhere"}})
    assert site.rest() == 0 and site.at_rest == [True, True]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("content", ["", "{", '{"relay": {"kind": "telescope"}}'])
def test_safe_state_without_file_uses_config(site: Site, content: str) -> None:
    site.config.door_outputs_path.write_text(content)
    assert site.rest() == 0 and site.at_rest == [True, True]


def test_safe_state_without_outputs_fails(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.config_path.write_text("door: [")
    assert site.rest() == 2 and "not valid YAML" in capsys.readouterr().err


def test_lock_file_unusable_still_deenergises(site: Site) -> None:
    """The lock file is unusable in a state folder that became read-only."""
    site.config.door_lock_path.mkdir()
    assert site.rest() == 0 and site.at_rest == [True, True]


def test_safe_state_refuses_while_door_runs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    lock = acquire_lock(site.config.door_lock_path, "edge-door", "door.name")
    try:
        assert site.rest() == 1 and "another edge-door runs here" in capsys.readouterr().err
        assert site.at_rest == [False, False]
    finally:
        os.close(lock)


@pytest.mark.parametrize("which", [0, 1])
def test_failing_output_does_not_block_the_other(site: Site, which: int) -> None:
    site.lines[which].unlink()
    site.lines[which].mkdir()
    assert site.rest() == 1
    assert site.lines[1 - which].read_text() == "0\n"


def test_changed_outputs_deenergise_previous(site: Site, tmp_path: Path) -> None:
    """Start without `edge-door safe-state` after a kill."""
    other = hardware.DoorOutputs(relay=FileRelayConfig(kind="file", path=tmp_path / "other"))
    hardware.save_outputs(other, site.config.door_outputs_path)
    assert (
        site.at_rest == [True, True]
        and hardware.load_outputs(site.config.door_outputs_path) == other
    )


def test_full_disk_does_not_stop_door(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.config.door_outputs_path

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    hardware.save_outputs(hardware.configured_outputs(site.config.door), path)  # it exists already
    assert hardware.load_outputs(path) == hardware.configured_outputs(site.config.door)
    hardware.save_outputs(
        hardware.DoorOutputs(relay=FileRelayConfig(kind="file", path=tmp_path / "other")), path
    )
    assert (
        hardware.load_outputs(path) is None
    )  # no file rather than a wrong one: the configuration counts


def test_lock_held_differs_from_lock_unusable(tmp_path: Path) -> None:
    lock = acquire_lock(tmp_path / "door.lock", "edge-door", "door.name")
    with pytest.raises(AlreadyRunningError, match="stop it first"):
        acquire_lock(tmp_path / "door.lock", "edge-door", "door.name")
    os.close(lock)
    (tmp_path / "file").write_text("")
    with pytest.raises(LockFileError, match="check that the folder"):
        acquire_lock(tmp_path / "file" / "door.lock", "edge-door", "door.name")


def test_saved_outputs_as_fifo_use_config(site: Site) -> None:
    note = site.config.door_outputs_path
    note.unlink()
    os.mkfifo(note)
    assert site.rest() == 0 and site.at_rest == [True, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root and another account")
def test_saved_outputs_give_no_root_rights(site: Site, tmp_path: Path) -> None:
    """The door's account wrote the file; a file of root is not changed."""
    victim = tmp_path / "passwd"
    victim.write_text("root")
    victim.chmod(0o600)
    folder = site.config.door_outputs_path.parent
    hardware.save_outputs(
        hardware.DoorOutputs(relay=FileRelayConfig(kind="file", path=victim)),
        site.config.door_outputs_path,
    )
    victim.write_text("root")
    os.chown(folder, 65534, 65534)
    assert site.rest() == 1 and victim.read_text() == "root"
