from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.config import load_config
from edge.demo.actor import DemoActor
from edge.demo.pins import draw_pins, save_pins
from edge.demo.scenario import (
    ACTIONS,
    MASKED,
    SCENES,
    Action,
    DemoPin,
    DoorAsked,
    DoorRecorded,
    FaceDecided,
    InputChange,
    OperatorRequest,
    PinEntry,
    frame_ranges,
)
from edge.door.controller import InputKind, OperatorCommand
from edge.door.credentials import load_credentials
from edge.door.readers.events import PinEntered
from edge.door.readers.simulated import SimulatedReader
from edge.errors import DoorError

OPENS = Action(
    "She opens the door",
    InputChange(InputKind.CONTACT, True),
    pause_s=0.5,
    trigger=DoorRecorded("unlocked"),
)
CLOSES = Action("It is closed", InputChange(InputKind.CONTACT, False), pause_s=1.0)
LOCKS_DOWN = Action(
    "Lockdown",
    OperatorRequest(OperatorCommand.LOCKDOWN, "a test"),
    pause_s=0.0,
    trigger=FaceDecided("Grace Hopper, masked"),
)
ENTERS_PIN = Action("PIN", PinEntry(DemoPin.RIGHT), pause_s=0.0, trigger=DoorAsked(MASKED))
DIGITS = {DemoPin.RIGHT: "271828", DemoPin.DURESS: "314159", DemoPin.WRONG: "161803"}


class Run:
    """A run of the demo on a clock of its own.

    What will be on record is known before, the clip ends at 20 s.
    """

    def __init__(self, config_path: Path) -> None:
        self.config = load_config(config_path)
        self.config.state.mkdir()
        self.now = 0.0
        self.coming: list[tuple[float, Path, dict[str, Any]]] = []
        self.asked: list[tuple[str, str]] = []
        self.said: list[tuple[str, float]] = []
        self.exit_code = 0

    def play(self, *acts: Action) -> None:
        stage = DemoActor(
            self.config, self, DIGITS, self._ended, clock=lambda: self.now, sleep=self._sleep
        )
        stage.run(acts, lambda words: self.said.append((words, self.now)))

    def unlocks(self, at: float) -> None:
        self.coming.append((at, self.config.door_record_path, {"event": "unlocked", "at": at}))

    def asks(self, record_id: int, at: float) -> None:
        event = {"event": "waiting", "at": at, "record_id": record_id}
        self.coming.append((at, self.config.door_record_path, event))

    def sees(self, frame: int, at: float, record_id: int = 1) -> None:
        decision = {"kind": "decision", "id": record_id, "frame": frame}
        self.coming.append((at, self.config.decisions_path, decision))

    def command(self, command: str, note: str) -> str | None:
        """Keep the command; refuse it."""
        self.asked.append((command, note))
        return "not now"

    def _ended(self) -> int | None:
        return self.exit_code if self.now >= 20 else None

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        for at, path, record in self.coming:
            if self.now - seconds < at <= self.now:
                path.mkdir(exist_ok=True)
                with (path / "000000001.log").open("a") as file:
                    file.write(json.dumps(record) + "\t\n")


@pytest.fixture
def demo(write_config: Callable[..., Path]) -> Run:
    inputs = {"contact": {"kind": "file", "path": "contact"}}
    readers = [{"kind": "simulated", "name": "entry", "path": "reader"}]
    return Run(write_config(door={"inputs": inputs, "readers": readers}))


def test_an_act_follows_its_cue(demo: Run, tmp_path: Path) -> None:
    demo.unlocks(at=3.0)
    demo.play(OPENS, CLOSES)
    (opens, opened), (closes, closed) = demo.said
    assert (
        (opens, closes) == (OPENS.description, CLOSES.description)
        and 3.5 <= opened <= 3.6
        and 4.5 <= closed <= 4.6
    )
    assert (tmp_path / "contact").read_text() == "0"


def test_actor_earlier_event_is_no_trigger(demo: Run) -> None:
    demo.unlocks(at=3.0)
    demo.unlocks(at=9.0)
    demo.play(OPENS, OPENS)
    (_, first), (_, again) = demo.said
    assert first < 4 and again > 9


def test_actor_command_waits_for_decided_face(demo: Run) -> None:
    title = LOCKS_DOWN.trigger.scene
    frames = next(
        frames
        for scene, frames in zip(SCENES, frame_ranges(SCENES), strict=True)
        if scene.title == title
    )
    demo.sees(frames.start - 1, at=2.0)
    demo.sees(frames.start, at=5.0)
    demo.play(LOCKS_DOWN)
    assert demo.asked == [("lockdown", "a test")] and 5 <= demo.now < 5.1
    assert "not now" in demo.said[-1][0]


def test_actor_pin_waits_for_the_door_to_ask(demo: Run, tmp_path: Path) -> None:
    frames = [
        frames
        for scene, frames in zip(SCENES, frame_ranges(SCENES), strict=True)
        if scene.title == MASKED
    ]
    with contextlib.closing(SimulatedReader(tmp_path / "reader")) as reader:
        reader.open()
        demo.asks(7, at=2.0)  # for a face of another scene
        demo.sees(frames[0].start, at=3.0, record_id=8)
        demo.asks(8, at=5.0)
        demo.play(ENTERS_PIN)
        assert 5 <= demo.now < 5.1
        (entered,) = reader.poll(timeout_s=5.0)
    assert entered == PinEntered("271828")
    assert not any("271828" in said for said, _ in demo.said)


def test_actor_without_a_reader_fails(demo: Run) -> None:
    with pytest.raises(DoorError, match="no reader receives"):
        demo.play(replace(ENTERS_PIN, trigger=None))


def test_pins_are_drawn_and_stored_as_hashes(demo: Run) -> None:
    pins = draw_pins()
    assert len(set(pins.values())) == 3 and set(pins) == set(DemoPin)
    save_pins(demo.config, pins)
    known = load_credentials(demo.config.people_path, demo.config.people_key_path)
    found = {pin: known.find_pin(known.hasher.hash_pin(digits)) for pin, digits in pins.items()}
    assert found[DemoPin.WRONG] is None
    assert [found[pin].duress for pin in (DemoPin.RIGHT, DemoPin.DURESS)] == [False, True]
    assert not any(pin in demo.config.people_path.read_text() for pin in pins.values())


def test_a_cue_that_never_comes_ends_the_play(demo: Run) -> None:
    demo.play(OPENS, CLOSES)
    assert 70 < demo.now < 90 and "No trigger" in demo.said[-1][0]


def test_a_recogniser_that_fails_ends_it_at_once(demo: Run) -> None:
    demo.exit_code = 1
    demo.play(OPENS)
    assert demo.now < 20.1 and "No trigger" in demo.said[-1][0]


def test_scenario_trigger_scenes_have_a_person() -> None:
    for act in ACTIONS:
        if isinstance(act.trigger, FaceDecided | DoorAsked):
            assert [bool(scene.person) for scene in SCENES if scene.title == act.trigger.scene] == [
                True
            ]
