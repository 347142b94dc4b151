"""A door whose lock an access control panel owns: people are reported, the panel decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.audit.reader import read_log
from edge.config.lane import PANEL
from edge.door.controller import InputKind
from edge.door.credential_editor import edit_credentials
from edge.door.events import DoorRefusal
from edge.door.paths import DoorPaths
from edge.door.readers.card_formats import parse_card
from edge.door.readers.events import CardRead
from edge.door.readers.panel_events import (
    PanelAnswered,
    PanelInput,
    PanelLinkChanged,
    PanelMessage,
    PanelVerdict,
)
from edge.door.readers.reader import Reader
from edge.door.readers.simulated import SimulatedReader
from edge.errors import DoorError
from tests.doors import CLOCK, grant, until
from tests.lanes import ADAS_CARD, NO_CARD, LaneDoor, lane_door, make_people

PANEL_CONFIG = {"kind": "osdp", "device": "/dev/null", "key_file": "/dev/null", "facility": 7}
ADAS_NUMBER = "4711"
ADAS_PANEL_CARD = parse_card("26:7:4711")


class PanelInMemory:
    """Panel that the test answers for; `cards` are those that were reported."""

    def __init__(self) -> None:
        self.cards: list[CardRead] = []
        self.is_free = True
        self.is_cut = False
        self._inputs: list[PanelInput] = [PanelLinkChanged(True)]
        self._arrived = threading.Event()
        self._arrived.set()

    def report(self, card: CardRead) -> int | None:
        if not self.is_free:
            return None
        self.cards.append(card)
        return len(self.cards)

    def send(self, event: PanelInput) -> None:
        self._inputs.append(event)
        self._arrived.set()

    def answer(self, verdict: PanelVerdict) -> None:
        self.send(PanelAnswered(verdict, len(self.cards)))

    def open(self) -> None: ...

    def poll(self, timeout_s: float) -> Sequence[PanelInput]:
        self._arrived.wait(timeout_s)
        self._arrived.clear()
        if self.is_cut:
            raise DoorError("the line is cut")
        found, self._inputs = self._inputs, []
        return found

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def people(tmp_path: Path) -> None:
    make_people(tmp_path)
    paths = DoorPaths.in_folder(tmp_path)
    with edit_credentials(paths.people, paths.people_key) as editor:
        editor.set_panel_card("Ada", ADAS_NUMBER)


@pytest.fixture
def panel() -> PanelInMemory:
    return PanelInMemory()


@contextmanager
def panel_door(
    folder: Path, panel: PanelInMemory, rules: Mapping[str, Any] = {}, **keys: Any
) -> Iterator[LaneDoor]:
    readers: dict[str, Reader] = {PANEL: panel, "entry": SimulatedReader(folder / "reader.sock")}
    inputs = keys.pop("has_inputs", False)
    config = PANEL_CONFIG | keys
    with lane_door(folder, rules, panel=config, readers=readers, has_inputs=inputs) as lane:
        until(lambda: bool(lane.records("panel-found")) and len(lane.records("reader-found")) == 2)
        yield lane


def ask(lane: LaneDoor, name: str = "Ada") -> str:
    """Request a grant that the panel decides about; return the id of the grant."""
    assert lane.face(name) == "waiting"
    assert lane.client.waiting is not None and lane.client.waiting.missing == (PANEL,)
    return str(lane.records("panel-asked")[-1]["grant_id"])


def finish(lane: LaneDoor, panel: PanelInMemory, verdict: PanelVerdict) -> dict[str, Any]:
    """Let the panel answer; return the record of its answer."""
    before = len(lane.records("panel-answered"))
    panel.answer(verdict)
    until(lambda: len(lane.records("panel-answered")) > before)
    return lane.records("panel-answered")[-1]


@pytest.mark.parametrize(
    "verdict", [PanelVerdict.GRANTED, PanelVerdict.REFUSED, PanelVerdict.NO_ANSWER]
)
def test_face_is_reported_and_panel_decides(
    tmp_path: Path, panel: PanelInMemory, verdict: PanelVerdict
) -> None:
    with panel_door(tmp_path, panel) as lane:
        grant_id = ask(lane)
        assert panel.cards == [ADAS_PANEL_CARD] and lane.client.panel_verdict(grant_id) is None
        answered = finish(lane, panel, verdict)
        assert (answered["reason"], answered["subject"]) == (verdict, "Ada")
        assert answered["record_id"] == 7 and answered["grant_id"] == grant_id
        assert lane.client.panel_verdict(grant_id) == verdict
        assert not lane.is_unlocked and not lane.records("unlocked")


def test_panel_never_switches_relay_unasked(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        for _ in range(5):
            ask(lane)
            finish(lane, panel, PanelVerdict.GRANTED)
        assert lane.door.relay.history == []


def test_panel_grant_switches_relay_if_set(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel, switch_relay=True) as lane:
        ask(lane)
        assert not lane.is_unlocked
        CLOCK.advance(2.5)  # the frame is older than a grant may be
        finish(lane, panel, PanelVerdict.GRANTED)
        until(lambda: bool(lane.records("unlocked")))
        assert lane.records("unlocked")[0]["subject"] == "Ada"
        lane.relock()
        ask(lane)
        finish(lane, panel, PanelVerdict.REFUSED)
        assert not lane.is_unlocked and len(lane.records("unlocked")) == 1


def test_change_of_people_ends_panel_request(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel, switch_relay=True) as lane:
        grant_id = ask(lane)
        paths = DoorPaths.in_folder(tmp_path)
        with edit_credentials(paths.people, paths.people_key) as editor:
            editor.remove_person("Ada")
        until(lambda: bool(lane.records("people-changed")))
        panel.answer(PanelVerdict.GRANTED)
        until(lambda: lane.client.panel_verdict(grant_id) is not None)
        assert lane.client.panel_verdict(grant_id) == PanelVerdict.NO_ANSWER
        assert not lane.records("unlocked") and not lane.is_unlocked


def test_lockdown_overrules_panel_grant(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel, switch_relay=True) as lane:
        ask(lane)
        assert lane.client.command("lockdown", "test") is None
        finish(lane, panel, PanelVerdict.GRANTED)
        until(lambda: bool(lane.records("refused")))
        assert lane.records("refused")[0]["reason"] == "lockdown" and not lane.is_unlocked
        assert lane.face("Ada") == "lockdown" and len(panel.cards) == 1


def test_fire_and_rex_do_not_ask_the_panel(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel, switch_relay=True, has_inputs=True) as lane:
        assert lane.wires is not None
        panel.is_free = False
        lane.wires.put(InputKind.REX, True)
        until(lambda: lane.is_unlocked)
        lane.wires.put(InputKind.REX, False)
        lane.relock()
        lane.wires.put(InputKind.FIRE, True)
        until(lambda: lane.is_unlocked)
        assert panel.cards == []


def test_person_without_panel_card_is_refused(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        assert lane.face("Ben") == lane.face("Eve") == DoorRefusal.NO_PANEL_CARD
        assert panel.cards == []
        until(lambda: len(lane.records("refused")) == 2)
        assert {one["reason"] for one in lane.records("refused")} == {DoorRefusal.NO_PANEL_CARD}


def test_panel_card_of_another_format_is_used(tmp_path: Path, panel: PanelInMemory) -> None:
    paths = DoorPaths.in_folder(tmp_path)
    with edit_credentials(paths.people, paths.people_key) as editor:
        editor.set_panel_card("Ada", "37:9:1234")
        editor.set_panel_card("Ben", "999999")  # more than 16 bits
    with panel_door(tmp_path, panel) as lane:
        ask(lane)
        assert panel.cards == [parse_card("37:9:1234")]
        finish(lane, panel, PanelVerdict.REFUSED)
        assert lane.face("Ben") == DoorRefusal.PANEL_CARD_INVALID


def test_rules_come_before_the_panel(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel, {"mode": "card-and-face"}) as lane:
        assert lane.face("Ada") == "waiting" and panel.cards == []
        lane.type(f"card {ADAS_CARD}")
        until(lambda: panel.cards == [ADAS_PANEL_CARD])
        answered = finish(lane, panel, PanelVerdict.GRANTED)
        assert answered["record_id"] == 7  # of the face


def test_busy_panel_refuses_the_next_person(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        ask(lane)
        assert lane.face("Ada") == DoorRefusal.PANEL_BUSY
        finish(lane, panel, PanelVerdict.GRANTED)
        panel.is_free = False
        assert lane.face("Ada") == DoorRefusal.PANEL_OFFLINE
        assert len(panel.cards) == 1


def test_late_answer_of_panel_does_not_count(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel, switch_relay=True) as lane:
        first = ask(lane)
        CLOCK.advance(60.0)
        until(lambda: bool(lane.records("panel-answered")))
        assert lane.client.panel_verdict(first) == PanelVerdict.NO_ANSWER
        second = ask(lane)
        panel.send(PanelAnswered(PanelVerdict.GRANTED, 1))
        panel.send(PanelMessage("late"))
        until(lambda: bool(lane.records("panel-text")))
        assert lane.client.panel_verdict(second) is None and not lane.is_unlocked


def test_repeated_grant_is_reported_once(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        assert lane.client.grant(once := grant("once")) == "waiting"
        finish(lane, panel, PanelVerdict.GRANTED)
        assert lane.client.grant(once) == DoorRefusal.REPLAYED and len(panel.cards) == 1


def test_lost_panel_ends_the_request(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        grant_id = ask(lane)
        assert lane.status()["access"]["panel"]["deciding"]
        panel.is_cut = True
        panel.send(PanelMessage("not sent"))
        until(lambda: bool(lane.records("panel-lost")))
        assert lane.client.panel_verdict(grant_id) == PanelVerdict.NO_ANSWER
        found = lane.status()["access"]["panel"]
        assert not found["connected"] and "the line is cut" in found["line"]


def test_text_of_panel_is_shown_and_recorded(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        panel.send(PanelMessage("10:32"))  # its clock: no request waits
        until(lambda: lane.status()["access"]["panel"]["text"] == "10:32")
        ask(lane)
        panel.send(PanelMessage("Welcome"))
        until(lambda: bool(lane.records("panel-text")))
        assert [one["note"] for one in lane.records("panel-text")] == ["Welcome"]


@pytest.mark.parametrize("forward", [True, False])
def test_unknown_card_is_forwarded_if_set(
    tmp_path: Path, panel: PanelInMemory, forward: bool
) -> None:
    with panel_door(tmp_path, panel, forward_cards=forward) as lane:
        lane.type_until(f"card {NO_CARD}", "panel-asked" if forward else "card-pin-refused")
        assert panel.cards == ([parse_card(NO_CARD)] if forward else [])
        if forward:
            (asked,) = lane.records("panel-asked")
            assert asked["reader"] == "entry" and "subject" not in asked
            assert finish(lane, panel, PanelVerdict.GRANTED)["reason"] == PanelVerdict.GRANTED
        assert not lane.is_unlocked


def test_panel_cards_are_never_recorded(tmp_path: Path, panel: PanelInMemory) -> None:
    with panel_door(tmp_path, panel) as lane:
        ask(lane)
        finish(lane, panel, PanelVerdict.GRANTED)
    stored = (tmp_path / "people.json").read_text()
    assert ADAS_NUMBER not in stored and '"panel_card"' in stored
    assert ADAS_NUMBER not in str([r for r in read_log(tmp_path / "door") if "event" in r])
