"""Hostile content of the state files never ends the door process at its start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.door.door_states import DoorStates
from edge.door.hardware import load_outputs
from tests.lanes import LAB, lane_door, make_people

_COUNT = {"failures": 1, "locks": 16, "since_s": -1e10, "locked_s": -1e10}
_LOCKOUTS = {"version": 1, "wall": 0.0, "readers": {"entry": _COUNT}, "people": {"0" * 64: _COUNT}}
_LOCKOUT_TEXT = json.dumps(_LOCKOUTS)
_TEXTS = ["", "[]", "[" * 100_000, "{\ud800}"]
_HOSTILE = [
    *((name, text) for name in ("lockouts.json", "people.json", "zones.json") for text in _TEXTS),
    ("lockouts.json", _LOCKOUT_TEXT),
    ("lockouts.json", _LOCKOUT_TEXT.replace('"wall": 0.0', '"wall": -1e12')),
    ("lockouts.json", _LOCKOUT_TEXT.replace('"wall": 0.0', '"wall": 1e400')),
    ("lockouts.json", _LOCKOUT_TEXT.replace("entry", "\\ud800")),
    ("people.json", '{"version": 1, "salt": "\\ud800", "people": [{"name": "\\ud800"}]}'),
    ("zones.json", '{"version": 1e308, "people": {"lab": {"\\ud800": {"at": -1e308}}}}'),
]


@pytest.mark.parametrize(("name", "text"), _HOSTILE)
def test_door_hostile_state_file_starts(tmp_path: Path, name: str, text: str) -> None:
    make_people(tmp_path)
    (tmp_path / name).write_bytes(text.encode(errors="surrogatepass"))
    with lane_door(tmp_path, LAB, wall=lambda: 2e9) as lane:
        assert lane.status()["state"] == "locked"


@pytest.mark.parametrize(
    "text",
    [
        *_TEXTS,
        '{"boot": "b", "at": 1e308, "is_unlocked": false, "is_open": false}',
        '{"boot": "b", "at": 1e999, "is_unlocked": false, "is_open": false}',
    ],
)
def test_door_hostile_runtime_file_is_ignored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(text.encode(errors="surrogatepass"))
    states = DoorStates({"own": tmp_path / "own", "other": path}, "own", lambda: 1000.0, "b")
    assert states.read() == {}
    assert load_outputs(path) is None
