"""File of the zones' state: written and read by a thread, with a bound."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge.access.rules.content import ZoneContent
from edge.door.zone_file import PendingRead, ZoneFile
from tests.doors import until


def content(people: int) -> ZoneContent:
    return ZoneContent(counts={"lab": people})


def read(file: ZoneFile) -> PendingRead:
    pending = file.read()
    assert pending.done.wait(60.0)
    return pending


def write(file: ZoneFile, people: int) -> None:
    pending = file.submit(content(people))
    assert pending.done.wait(60.0) and pending.written


def test_newest_state_is_written(tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    file = ZoneFile(path)
    saves = [file.submit(content(count)) for count in range(20)]
    until(lambda: all(save.done.is_set() for save in saves))
    assert all(save.written for save in saves)
    file.close()
    assert read(ZoneFile(path)).content == content(19)


def test_hanging_disk_keeps_saves_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, is_back = tmp_path / "zones.json", threading.Event()

    def hang(path: Path, data: bytes) -> None:
        assert is_back.wait(60.0)
        path.write_bytes(data)

    monkeypatch.setattr("edge.door.state_file.write_atomic", hang)
    file = ZoneFile(path)
    saves = [file.submit(content(count)) for count in range(600)]
    refused = [save for save in saves if save.done.is_set()]
    assert refused and not any(save.written for save in refused)
    assert "does not answer" in refused[-1].error
    is_back.set()
    until(lambda: all(save.done.is_set() for save in saves))
    assert saves[0].written
    file.close()


def test_leftovers_of_ended_processes_are_removed(tmp_path: Path) -> None:
    for process in ("99999999", "1"):
        (tmp_path / f".zones.json.{process}").write_text("{")
    file = ZoneFile(tmp_path / "zones.json")
    write(file, 1)
    assert [found.name for found in tmp_path.glob(".zones.json.*")] == [".zones.json.1"]
    file.close()


def test_only_a_newer_file_is_read(tmp_path: Path) -> None:
    left, right = (ZoneFile(tmp_path / "zones.json") for _ in range(2))
    assert read(left).is_missing
    for people in range(50):  # faster than the time stamps of a file system
        write(left, people)
        assert read(left).content is None
        assert read(right).content == content(people)
        assert read(right).content is None
    left.close()
    right.close()


def test_removed_file_is_reported(tmp_path: Path) -> None:
    file = ZoneFile(tmp_path / "zones.json")
    write(file, 1)
    (tmp_path / "zones.json").unlink()
    assert read(file).is_missing
    write(file, 2)
    assert not read(file).is_missing
    file.close()


@pytest.mark.parametrize("text", [b"{", b"", b"x" * 100])
def test_invalid_file_is_reported_once(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "zones.json").write_bytes(text)
    file = ZoneFile(tmp_path / "zones.json")
    assert read(file).invalid.startswith("zone state: ")
    assert not read(file).invalid and read(file).content is None
    file.close()


def test_folder_in_its_place_is_reported(tmp_path: Path) -> None:
    (tmp_path / "zones.json").mkdir()
    file = ZoneFile(tmp_path / "zones.json")
    assert "regular file" in read(file).failed and not read(file).failed
    pending = file.submit(content(1))
    assert pending.done.wait(60.0) and "cannot be written" in pending.error
    file.close()


def test_newer_link_is_not_followed(tmp_path: Path) -> None:
    file = ZoneFile(tmp_path / "zones.json")
    write(file, 1)
    (tmp_path / "zones.json").unlink()
    (tmp_path / "other").write_text("{}")
    (tmp_path / "zones.json").symlink_to(tmp_path / "other")
    for _ in range(2):  # it is unknown what other doors wrote
        assert "cannot be read" in read(file).failed
    file.close()
