"""Readers and people files that fail: fire, REX and faces are not affected."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from edge.door import protocol
from edge.door.controller import InputKind
from edge.door.credential_lockout import CredentialLockout
from edge.door.lane_requests import LaneRequests
from edge.door.paths import DoorPaths
from edge.door.people_watcher import PeopleWatcher
from edge.door.pin_hasher import PinHasher
from edge.door.reader_conditions import RECORD_S
from edge.door.reader_requests import ReaderRequests
from edge.door.readers.card_formats import parse_card
from edge.door.readers.events import ReaderCondition, ReaderInput
from edge.door.readers.reader_set import ReaderSet
from edge.door.requests import RequestHandler
from edge.door.unlocker import GrantUnlocker
from edge.errors import DoorError
from tests.doors import CLOCK, TIMEOUT_S, until
from tests.lanes import ADAS_CARD, ADAS_DURESS_PIN, NO_CARD, LaneDoor, lane_door, make_people


@dataclass
class FaultyReader:
    """Reader that does one thing in each poll."""

    act: Callable[[], Sequence[ReaderInput]]

    def open(self) -> None: ...

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        return self.act()

    def close(self) -> None: ...


class CutReader:
    """Reader whose cable is cut after a moment."""

    def __init__(self) -> None:
        self._is_cut = False

    def open(self) -> None:
        if self._is_cut:
            raise DoorError("cable cut")

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        self._is_cut = True
        raise DoorError("cable cut")

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def people(tmp_path: Path) -> None:
    make_people(tmp_path)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def check_fire_and_rex(lane: LaneDoor) -> None:
    """Check that exit button and fire unlock, and that a face is granted."""
    assert lane.wires is not None
    lane.wires.put(InputKind.REX, True)
    until(lambda: lane.is_unlocked)
    lane.wires.put(InputKind.REX, False)
    lane.relock()
    assert lane.face("Ada") is None
    lane.relock()
    lane.wires.put(InputKind.FIRE, True)
    until(lambda: lane.is_unlocked and lane.status()["reason"] == "fire")


def test_hung_reader_changes_nothing_else(tmp_path: Path, released: threading.Event) -> None:
    def hang() -> Sequence[ReaderInput]:
        released.wait(TIMEOUT_S)
        return ()

    readers = {"entry": FaultyReader(hang)}
    with lane_door(tmp_path, {}, readers=readers, has_inputs=True) as lane:
        check_fire_and_rex(lane)
        released.set()


def test_flooding_reader_changes_nothing_else(tmp_path: Path) -> None:
    card = parse_card(NO_CARD)
    readers = {"entry": FaultyReader(lambda: [card] * 50)}
    with lane_door(tmp_path, {}, readers=readers, has_inputs=True) as lane:
        until(lambda: bool(lane.records("reader-flooding")))
        check_fire_and_rex(lane)
        assert len(lane.records("reader-flooding")) == 1
        assert len(lane.records("card-pin-refused")) <= 10  # the rest is dropped or counted


def test_lost_reader_is_one_event(tmp_path: Path) -> None:
    readers = {"entry": CutReader()}
    with lane_door(tmp_path, {}, readers=readers, has_inputs=True) as lane:
        until(lambda: bool(lane.records("reader-lost")))
        check_fire_and_rex(lane)
        (lost,) = lane.records("reader-lost")
        assert (lost["reader"], lost["note"]) == ("entry", "cable cut")
        assert "cable cut" in lane.status()["access"]["readers"]["entry"]


def test_reader_condition_is_recorded(tmp_path: Path) -> None:
    conditions = iter([[ReaderCondition(tampered=True, power_failed=False)]])

    def report() -> Sequence[ReaderInput]:
        return next(conditions, [])

    with lane_door(tmp_path, {}, readers={"entry": FaultyReader(report)}) as lane:
        until(lambda: bool(lane.records("reader-condition")))
        (condition,) = lane.records("reader-condition")
        assert (condition["reader"], condition["reason"]) == ("entry", "case-opened")


def test_flapping_condition_is_recorded_rarely(tmp_path: Path) -> None:
    closed = ReaderCondition(tampered=False, power_failed=False)
    opened = ReaderCondition(tampered=True, power_failed=False)
    conditions = deque([opened, closed, opened, closed, opened])

    def report() -> Sequence[ReaderInput]:
        return [conditions.popleft()] if conditions else []

    def changes(lane: LaneDoor) -> list[int]:
        return [one.get("changes", 1) for one in lane.records("reader-condition")]

    with lane_door(tmp_path, {}, readers={"entry": FaultyReader(report)}) as lane:
        until(lambda: not conditions and bool(changes(lane)))
        CLOCK.advance(RECORD_S)
        until(lambda: sum(changes(lane)) == 5)
        assert len(changes(lane)) <= 3 and changes(lane)[0] == 1


def test_unreadable_people_refuse_everyone(tmp_path: Path) -> None:
    people = DoorPaths.in_folder(tmp_path).people
    intact = people.read_bytes()
    with lane_door(tmp_path, {}, has_inputs=True) as lane:
        assert lane.face("Ada") is None
        lane.relock()
        people.write_bytes(b"{")
        until(lambda: bool(lane.records("people-invalid")))
        assert lane.face("Ada") == lane.face("Eve") == "people-unreadable"
        lane.type_until(f"card {ADAS_CARD}", "card-pin-refused")
        assert lane.status()["access"]["people_damage"]
        people.write_bytes(intact)
        until(lambda: bool(lane.records("people-changed")))
        check_fire_and_rex(lane)


@pytest.mark.parametrize("is_key_kept", [True, False])
def test_missing_people_refuse_everyone(tmp_path: Path, is_key_kept: bool) -> None:
    paths = DoorPaths.in_folder(tmp_path)
    with lane_door(tmp_path, {}) as lane:
        if not is_key_kept:
            paths.people_key.unlink()
        paths.people.unlink()
        until(
            lambda: any("no such file" in each["note"] for each in lane.records("people-invalid"))
        )
        assert lane.face("Ada") == "people-unreadable"
    if is_key_kept:
        with lane_door(tmp_path, {}) as lane:
            assert lane.face("Ada") == "people-unreadable"


def test_mantrap_input_refuses_grants_only(tmp_path: Path) -> None:
    with lane_door(tmp_path, {"interlock": True}, has_inputs=True) as lane:
        assert lane.wires is not None
        lane.wires.put(InputKind.MANTRAP, False)
        until(lambda: lane.status()["inputs"].get("mantrap") is False)
        assert lane.face("Ada") is None
        lane.relock()
        lane.wires.put(InputKind.MANTRAP, True)
        until(lambda: lane.status()["inputs"]["mantrap"])
        assert lane.face("Ada") == "interlock"
        lane.wires.put(InputKind.REX, True)
        until(lambda: lane.is_unlocked)


def test_passage_sensor_reports_tailgating(tmp_path: Path) -> None:
    rules = {
        "zones": [{"name": "lab", "anti_passback": "soft"}],
        "lanes": [
            {"name": "in", "zone": "lab", "passage": "sensor"},
            {"name": "out", "zone": "lab", "direction": "out", "hardware_egress": True},
        ],
    }
    with lane_door(tmp_path, rules, has_inputs=True) as lane:
        assert lane.wires is not None

        def is_level(level: bool) -> bool:
            return lane.status()["inputs"].get("passage") is level

        def pass_by(event: str) -> None:
            assert lane.wires is not None
            for level in (False, True, False):
                lane.wires.put(InputKind.PASSAGE, level)
                until(partial(is_level, level))
            until(lambda: len(lane.records(event)) == 1)

        assert lane.face("Ada") is None
        pass_by("passage")
        pass_by("tailgating")
        assert lane.records("passage")[0]["subject"] == "Ada"
        assert lane.status()["access"]["zones"]["lab"]["people"] == 2


def test_recogniser_sees_no_silent_alarm(tmp_path: Path) -> None:
    """A client that is no operator sees neither duress nor the requests of others."""
    with lane_door(tmp_path, {"mode": "pin-and-face"}) as lane:
        lane.type_until(f"pin {ADAS_DURESS_PIN}", "duress")
        lane.door.pause()
        door, paths = lane.door.service.door, DoorPaths.in_folder(tmp_path)
        followed = PeopleWatcher(paths.people, paths.people_key)
        access = LaneRequests(door, followed, GrantUnlocker(door), None)
        lockout = CredentialLockout(door, door.settings.access.lockout, paths.lockouts)
        pins = PinHasher(CLOCK, lambda: None)
        readers = ReaderRequests(door, access, ReaderSet({}, CLOCK), pins, lockout)
        handler = RequestHandler(door, access, readers)
        shown = {
            uid: protocol.decode(handler.handle(protocol.encode("status", {}), uid))[1]
            for uid in (os.geteuid(), 54321)
        }
        readers.close()
        followed.close()
        lane.door.resume()
        assert shown[os.geteuid()]["alarms"] == ["duress"] and "access" in shown[os.geteuid()]
        assert shown[54321]["alarms"] == [] and "access" not in shown[54321]
