"""Zones at a running door: anti-passback, occupancy, visits, two people, restarts, full disks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.access.schedule import ScheduledMode
from edge.door.controller import InputKind
from edge.door.credential_editor import edit_credentials
from edge.door.paths import DoorPaths
from edge.door.state_file import PendingSave
from tests.doors import FixedSchedule, passing, until
from tests.lanes import ADAS_CARD, BENS_CARD, LAB, LaneDoor, lane_door, make_people

EXIT = {**LAB, "mode": "face", "spans": []}


@pytest.fixture(autouse=True)
def people(tmp_path: Path) -> None:
    make_people(tmp_path, {"Vic": {"max_uses": 1}, "Gil": {"groups": ("guards",)}})


def state(folder: Path) -> Any:
    return json.loads((folder / "zones.json").read_text())


def walk_through(lane: LaneDoor, count: int) -> None:
    """Open and close the door; wait for the passage."""
    assert lane.wires is not None
    lane.wires.put(InputKind.CONTACT, True)
    until(lambda: len(lane.records("passage")) >= count)
    lane.wires.put(InputKind.CONTACT, False)
    until(lambda: lane.status()["inputs"]["contact"] is False)
    lane.relock()


def close_contact(lane: LaneDoor) -> None:
    assert lane.wires is not None
    lane.wires.put(InputKind.CONTACT, False)
    until(lambda: lane.status()["inputs"].get("contact") is False)


def test_hard_anti_passback_with_contact(tmp_path: Path) -> None:
    with lane_door(tmp_path, EXIT, has_inputs=True) as lane:
        close_contact(lane)
        assert lane.face("Ada") is None
        assert lane.face("Ada") == "passage-pending"
        walk_through(lane, 1)
        assert lane.records("passage")[0]["subject"] == "Ada"
        assert lane.face("Ada") == "already-inside" and lane.face("Ben") is None
        assert lane.status()["access"]["zones"] == {"lab": {"people": 1, "max_people": 2}}


def test_reset_finds_names_without_joiners(tmp_path: Path) -> None:
    joined, plain = "\u0915\u094d\u200d\u0937", "\u0915\u094d\u0937"
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face(joined) is None and lane.face(joined) == "already-inside"
        assert lane.client.command("reset-anti-passback", "left by fire exit", plain) is None
        assert lane.face(joined) is None


def test_name_with_joiners_stays_one_person(tmp_path: Path) -> None:
    joined = "\u0915\u094d\u200d\u0937"
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face(joined) is None
    paths = DoorPaths.in_folder(tmp_path)
    with edit_credentials(paths.people, paths.people_key) as editor:
        editor.set_person(joined, {})
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face(joined) == "already-inside"
        assert lane.status()["access"]["zones"]["lab"]["people"] == 1


def test_anti_passback_survives_a_restart(tmp_path: Path) -> None:
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face("Ada") is None
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face("Ada") == "already-inside"
        assert lane.client.command("reset-anti-passback", "left by fire exit", "Ada") is None
        assert lane.face("Ada") is None
        (command,) = lane.records("operator-command")
        assert (command["target"], command["note"]) == ("Ada", "left by fire exit")


def test_removed_person_leaves_the_zones(tmp_path: Path) -> None:
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face("Vic") is None and lane.face("Eve") is None  # Eve has no entry
        refused = lane.client.command("erase-person", "withdrawn consent", "Vic")
        assert refused == "'Vic' is a person of this door; remove it first"
        paths = DoorPaths.in_folder(tmp_path)
        with edit_credentials(paths.people, paths.people_key) as editor:
            editor.remove_person("Vic")
        until(lambda: lane.status()["access"]["people"]["people"] == 3)
        for name in ("Vic", "Eve"):
            assert lane.client.command("erase-person", "withdrawn consent", name) is None
        text = (tmp_path / "zones.json").read_text().casefold()
        assert "vic" not in text and "eve" not in text
        assert lane.status()["access"]["zones"]["lab"]["people"] == 0


@pytest.mark.parametrize("command", ["reset-anti-passback", "reset-lockout", "reset-uses"])
def test_reset_of_unknown_name_is_refused(tmp_path: Path, command: str) -> None:
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face("Ada") is None
        refused = lane.client.command(command, "a slip of the pen", "Adaa")
        assert refused is not None and refused.startswith("'Adaa' is not a ")
        assert not lane.records("operator-command")


def test_soft_anti_passback_is_recorded(tmp_path: Path) -> None:
    zones = [{"name": "lab", "anti_passback": "soft"}]
    with lane_door(tmp_path, {**EXIT, "zones": zones}) as lane:
        assert lane.face("Ada") is None and lane.face("Ada") is None
        assert [r.get("violations") for r in lane.records("granted")] == [None, ["already-inside"]]


def test_exit_lane_has_its_own_reader(tmp_path: Path) -> None:
    night = {**EXIT, "mode": "card-and-face", "lanes": LAB["lanes"]}
    days = ["mon-fri", "sat", "sun"]
    night["spans"] = [
        {"days": days, "begin": begin, "end": end, "fallback": ["card"]}
        for begin, end in (("00:00", "12:00"), ("12:00", "00:00"))
    ]
    with lane_door(tmp_path, night, reader_lane="out") as lane:
        (unlocked,) = lane.type_until(f"card {ADAS_CARD}", "granted")
        assert unlocked["lane"] == "out" and lane.status()["access"]["zones"]["lab"]["people"] == 0
        lane.type_until(f"card {ADAS_CARD}", "refused")
        assert lane.records("refused")[0]["reason"] == "not-inside"


def test_full_zone_refuses_and_can_be_set(tmp_path: Path) -> None:
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face("Ada") is None and lane.face("Ben") is None
        assert lane.face("Gil") == "zone-full"
        assert "expected a zone" in str(lane.client.command("set-zone", "counted", "lab"))
        assert "known: lab" in str(lane.client.command("set-zone", "counted", "yard=1"))
        assert lane.client.command("set-zone", "counted", "lab=1") is None
        assert lane.face("Gil") is None


def test_visit_is_used_once_until_reset(tmp_path: Path) -> None:
    with lane_door(tmp_path, {}) as lane:
        assert lane.face("Vic") is None and lane.face("Vic") == "used-up"
    with lane_door(tmp_path, {}) as lane:
        assert lane.face("Vic") == "used-up"
        assert lane.client.command("reset-uses", "came back", "Vic") is None
        assert lane.face("Vic") is None


def test_two_people_open_together(tmp_path: Path) -> None:
    lanes = [{"name": "safe", "two_people": True}]
    rules = {"lanes": lanes, "two_people": {"within_s": 30.0}}
    with lane_door(tmp_path, rules) as lane:
        assert lane.face("Ada") == "waiting" and lane.client.waiting is not None
        assert lane.client.waiting.missing == () and not lane.is_unlocked
        assert lane.status()["access"]["waiting"][0]["presented"] == []
        assert lane.face("Ben") is None
        (granted,) = lane.records("granted")
        assert (granted["subject"], granted["other"]) == ("Ben", "Ada")


def test_first_person_starts_open_hours(tmp_path: Path) -> None:
    schedule = {"schedule": FixedSchedule(ScheduledMode.OPEN)}
    rules = {"first_person": ["guards"]}
    with lane_door(tmp_path, rules, settings=schedule, wall=lambda: 2e9) as lane:
        assert lane.status()["state"] == "locked"
        assert lane.face("Ada") is None
        lane.relock()
        assert lane.face("Gil") is None
        until(lambda: lane.status()["reason"] == "schedule-open")


def test_invalid_zone_state_restricts(tmp_path: Path) -> None:
    (tmp_path / "zones.json").write_text("{")
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.face("Ada") == "zone-state-unknown"
        assert len(lane.records("zones-invalid")) == 1
        assert not lane.status()["access"]["zones_known"]
        assert lane.client.command("reset-anti-passback", "counted by hand") is None
        assert lane.face("Ada") is None


def test_unwritable_zones_keep_the_door_locked(tmp_path: Path) -> None:
    (tmp_path / "zones.json").mkdir()
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.client.command("reset-anti-passback", "start") is None and lane.client.warning
        assert lane.face("Ada") == "not-recorded" and not lane.is_unlocked
        until(lambda: bool(lane.records("zones-not-saved")))


def test_unwritable_zones_are_reported_once(tmp_path: Path) -> None:
    (tmp_path / "zones.json").mkdir()
    with lane_door(tmp_path, EXIT) as lane:
        for _ in range(3):
            assert lane.client.command("reset-anti-passback", "again") is None
            assert lane.client.warning
        until(lambda: bool(lane.records("zones-not-saved")))
        (tmp_path / "zones.json").rmdir()
        until(lambda: (tmp_path / "zones.json").is_file())
        assert lane.client.command("reset-anti-passback", "start") is None
        assert not lane.client.warning
    assert len(lane.records("zones-not-saved")) == 1


def test_unsaved_grant_ends_its_request(tmp_path: Path) -> None:
    (tmp_path / "zones.json").mkdir()
    with lane_door(tmp_path, {**EXIT, "mode": "card-and-face"}, reader_lane="in") as lane:
        assert lane.client.command("reset-anti-passback", "start") is None
        lane.type_until(f"card {BENS_CARD}", "waiting")
        assert lane.face("Ben") == "not-recorded"
        assert lane.face("Ben") == "waiting" and not lane.is_unlocked


def test_unwritable_zones_open_if_configured(tmp_path: Path) -> None:
    (tmp_path / "zones.json").mkdir()
    with lane_door(tmp_path, EXIT, settings={"unlock_unrecorded": True}) as lane:
        assert lane.client.command("reset-anti-passback", "start") is None
        assert lane.face("Ada") is None and lane.face("Ada") == "already-inside"


def test_slow_save_is_not_waited_for(tmp_path: Path) -> None:
    with lane_door(tmp_path, EXIT) as lane:
        lane.door.pause()
        door = lane.door.service.door
        with passing():
            assert not door.wait_saved(PendingSave(), door.clock() + 0.2)
        lane.door.resume()


def test_refused_grant_changes_no_zone(tmp_path: Path) -> None:
    with lane_door(tmp_path, EXIT) as lane:
        assert lane.client.command("lockdown", "drill") is None
        assert lane.face("Ada") == "lockdown"
        assert lane.client.command("release", "drill over") is None
        assert lane.face("Ada") is None
        until(lambda: (tmp_path / "zones.json").exists())
        assert state(tmp_path)["counts"] == {"lab": 1}


def test_cards_reach_the_lane_of_their_reader(tmp_path: Path) -> None:
    with lane_door(tmp_path, {**EXIT, "mode": "card-and-face"}, reader_lane="in") as lane:
        lane.type_until(f"card {BENS_CARD}", "waiting")
        assert lane.face("Ben") is None
