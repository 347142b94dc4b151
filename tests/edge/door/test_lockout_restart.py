"""Lockouts over restarts and power cuts of a running door."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.door.credential_editor import edit_credentials
from edge.door.paths import DoorPaths
from edge.door.requests import NOT_YET_RECORDED
from tests.doors import CLOCK, until
from tests.lanes import ADAS_CARD, ADAS_PIN, NO_CARD, NO_PIN, LaneDoor, lane_door, make_people

RULES = {"mode": "card-and-face", "lockout": {"failures": 2}}
LOCK_S = 60.0
NOW = 2e9  # by the wall clock
STATE = ("people.json", "people.key", "lockouts.json")


@pytest.fixture(autouse=True)
def people(tmp_path: Path) -> None:
    make_people(tmp_path)


def cut_power(folder: Path) -> Path:
    """Return a folder with the files of the door as they are now on disk."""
    after = folder / "after"
    after.mkdir()
    for name in STATE:
        shutil.copy(folder / name, after)
    return after


def saved(folder: Path) -> Any:
    path = folder / "lockouts.json"
    return json.loads(path.read_text()) if path.exists() else {"readers": {}, "people": {}}


def fail_cards(lane: LaneDoor, count: int = 2) -> None:
    """Present wrong cards."""
    for number in range(1, count + 1):
        lane.type_until(f"card {NO_CARD}", "card-pin-refused", number)


def fail_pin(lane: LaneDoor) -> None:
    """Present Ada's card, then a wrong PIN."""
    lane.type_until(f"card {ADAS_CARD}", "waiting")
    lane.type_until(f"pin {NO_PIN}", "card-pin-refused")


def left_s(lane: LaneDoor) -> dict[str, float]:
    found: dict[str, float] = lane.status()["access"]["lockouts"]
    return found


def test_lockout_survives_a_power_cut(tmp_path: Path) -> None:
    with lane_door(tmp_path, RULES, wall=lambda: NOW) as lane:
        fail_cards(lane)
        until(lambda: saved(tmp_path)["readers"]["entry"]["locks"] == 1)
        after = cut_power(tmp_path)
    with lane_door(after, RULES, wall=lambda: NOW + 20) as lane:
        assert 30 < left_s(lane)["reader entry"] <= LOCK_S - 20
        (refused,) = lane.type_until(f"card {ADAS_CARD}", "card-pin-refused")
        assert refused["reason"] == "reader-locked"
        CLOCK.advance(LOCK_S)
        until(lambda: bool(lane.records("lockout-ended")))
        lane.type_until(f"card {ADAS_CARD}", "waiting")


def test_lockout_ended_in_between_is_recorded(tmp_path: Path) -> None:
    with lane_door(tmp_path, RULES, wall=lambda: NOW) as lane:
        fail_cards(lane)
    with lane_door(cut_power(tmp_path), RULES, wall=lambda: NOW + LOCK_S) as lane:
        until(lambda: bool(lane.records("lockout-ended")))
        assert not left_s(lane)
        lane.type_until(f"card {ADAS_CARD}", "waiting")


@pytest.mark.parametrize("wall", [(NOW, 0.0), (0.0, NOW), (NOW, NOW - 50_000)])
def test_lockout_untrusted_clock_starts_again(tmp_path: Path, wall: tuple[float, float]) -> None:
    with lane_door(tmp_path, RULES, wall=lambda: wall[0]) as lane:
        fail_cards(lane)
        until(lambda: saved(tmp_path)["readers"].get("entry", {}).get("locks") == 1)
        after = cut_power(tmp_path)
    with lane_door(after, RULES, wall=lambda: wall[1]) as lane:
        assert left_s(lane)["reader entry"] > LOCK_S - 10


def test_lockout_counts_over_power_cuts(tmp_path: Path) -> None:
    """A power cut after each wrong PIN gives no further guesses."""
    with lane_door(tmp_path, RULES, wall=lambda: NOW) as lane:
        fail_pin(lane)
        until(lambda: bool(saved(tmp_path)["people"]))
        after = cut_power(tmp_path)
    with lane_door(after, RULES, wall=lambda: NOW + 86_400) as lane:
        fail_pin(lane)
        until(lambda: bool(lane.records("lockout")))
        assert [each.get("subject") for each in lane.records("lockout")] == ["Ada"]


def test_lockout_right_pin_forgets_durably(tmp_path: Path) -> None:
    with lane_door(tmp_path, RULES) as lane:
        fail_pin(lane)
        lane.type_until(f"pin {ADAS_PIN}", "waiting", 2)
        until(lambda: not saved(tmp_path)["people"])


def test_lockout_reset_survives_a_restart(tmp_path: Path) -> None:
    with lane_door(tmp_path, RULES) as lane:
        fail_cards(lane)
        assert lane.client.command("reset-lockout", "a child", "entry") is None
        assert not lane.client.warning and not saved(tmp_path)["readers"]
        after = cut_power(tmp_path)
    with lane_door(after, RULES) as lane:
        assert not left_s(lane)


def test_lockout_forgets_a_removed_person(tmp_path: Path) -> None:
    paths = DoorPaths.in_folder(tmp_path)
    with lane_door(tmp_path, RULES) as lane:
        fail_pin(lane)
        fail_pin(lane)
        until(lambda: bool(lane.records("lockout")))
        with edit_credentials(paths.people, paths.people_key) as editor:
            editor.remove_person("Ada")
        until(lambda: lane.status()["access"]["people"]["people"] == 1)
        assert lane.client.command("erase-person", "withdrawn consent", "Ada") is None
        assert list(left_s(lane)) == ["reader entry"]
        assert [one["subject"] for one in lane.records("lockout-ended")] == ["Ada"]
        until(lambda: not saved(tmp_path)["people"])


def test_lockout_file_has_no_name_and_no_secret(tmp_path: Path) -> None:
    with lane_door(tmp_path, RULES) as lane:
        fail_pin(lane)
        until(lambda: bool(saved(tmp_path)["people"]))
    text = (tmp_path / "lockouts.json").read_text()
    assert "entry" in text and not any(one in text for one in ("Ada", NO_PIN, "1001"))
    assert (tmp_path / "lockouts.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["{", '{"version": 1}', '{"version": 2, "wall": null}'])
def test_lockout_invalid_file_locks_once(tmp_path: Path, content: str) -> None:
    (tmp_path / "lockouts.json").write_text(content)
    with lane_door(tmp_path, RULES) as lane:
        assert LOCK_S - 10 < left_s(lane)["reader entry"] <= LOCK_S
        (invalid,) = lane.records("lockouts-invalid")
        assert "lockouts.json" in invalid["note"]
        assert lane.records("lockout")[0]["reason"] == "unreadable-record"
        assert lane.face("Ada") == "waiting"  # a face is not subject to it
        until(lambda: bool(saved(tmp_path)["readers"]))
        after = cut_power(tmp_path)
    with lane_door(after, RULES) as lane:
        assert left_s(lane) and not lane.records("lockouts-invalid")
        assert lane.client.command("reset-lockout", "checked") is None
        lane.type_until(f"card {ADAS_CARD}", "waiting")


def test_lockout_unwritable_file_is_one_event(tmp_path: Path) -> None:
    with lane_door(tmp_path, RULES) as lane:
        (tmp_path / "lockouts.json").mkdir()
        fail_cards(lane)
        until(lambda: bool(lane.records("lockouts-not-saved")))
        assert lane.client.command("reset-lockout", "checked") is None
        assert lane.client.warning == NOT_YET_RECORDED
        (tmp_path / "lockouts.json").rmdir()
        until(lambda: (tmp_path / "lockouts.json").is_file())
        assert len(lane.records("lockouts-not-saved")) == 1


def test_lockout_waits_for_unreadable_people(tmp_path: Path) -> None:
    with lane_door(tmp_path, {**RULES, "lockout": {"failures": 2}}) as lane:
        fail_pin(lane)
        lane.type_until(f"pin {NO_PIN}", "card-pin-refused", 2)
        until(lambda: bool(lane.records("lockout")))
    after = cut_power(tmp_path)
    content = (after / "people.json").read_text()
    (after / "people.json").write_text("{")
    with lane_door(after, RULES) as lane:
        assert set(left_s(lane)) == {"reader entry"}
        (after / "people.json").write_text(content)
        until(lambda: set(left_s(lane)) == {"reader entry", "person Ada"})
