"""File of a state: written by a thread, with a bound."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edge.door.state_file import StateFile, encode_json, load_state
from tests.doors import until


def test_newest_state_is_written(tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    file = StateFile(path, encode_json)
    saves = [file.submit({"count": count}) for count in range(20)]
    until(lambda: all(save.done.is_set() for save in saves))
    assert all(save.written for save in saves)
    file.close()
    assert load_state(path) == (True, {"count": 19})


def test_leftovers_of_ended_processes_are_removed(tmp_path: Path) -> None:
    path, names = tmp_path / "zones.json", (str(os.getpid()), "99999999", "1", "new")
    for name in names:
        (tmp_path / f".zones.json.{name}").write_text("{")
    file = StateFile(path, encode_json)
    save = file.submit({"count": 1})
    until(save.done.is_set)
    file.close()
    assert save.written and load_state(path) == (True, {"count": 1})
    kept = {found.name for found in tmp_path.glob(".zones.json.*")}
    assert kept == {".zones.json.1", ".zones.json.new"}


def test_hanging_disk_keeps_saves_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, is_back = tmp_path / "zones.json", threading.Event()
    monkeypatch.setattr("edge.door.state_file.write_atomic", lambda *_: is_back.wait())
    file = StateFile(path, encode_json)
    saves = [file.submit({"count": count}) for count in range(600)]
    refused = [save for save in saves if save.done.is_set()]
    assert refused and not any(save.written for save in refused)
    assert "does not answer" in refused[-1].error
    is_back.set()
    until(lambda: all(save.done.is_set() for save in saves))
    assert saves[0].written
    file.close()
