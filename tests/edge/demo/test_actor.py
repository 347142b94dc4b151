from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.config import load_config
from edge.demo.actor import DemoActor
from edge.demo.scenario import (
    ACTIONS,
    SCENES,
    Action,
    DoorRecorded,
    FaceDecided,
    InputChange,
    OperatorRequest,
    frame_ranges,
)
from edge.door.controller import InputKind, OperatorCommand

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
        stage = DemoActor(self.config, self, self._ended, clock=lambda: self.now, sleep=self._sleep)
        stage.run(acts, lambda words: self.said.append((words, self.now)))

    def unlocks(self, at: float) -> None:
        self.coming.append((at, self.config.door_record_path, {"event": "unlocked", "at": at}))

    def sees(self, frame: int, at: float) -> None:
        self.coming.append((at, self.config.decisions_path, {"kind": "decision", "frame": frame}))

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
    return Run(write_config(door={"inputs": {"contact": {"kind": "file", "path": "contact"}}}))


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


def test_a_cue_that_never_comes_ends_the_play(demo: Run) -> None:
    demo.play(OPENS, CLOSES)
    assert 70 < demo.now < 90 and "No trigger" in demo.said[-1][0]


def test_a_recogniser_that_fails_ends_it_at_once(demo: Run) -> None:
    demo.exit_code = 1
    demo.play(OPENS)
    assert demo.now < 20.1 and "No trigger" in demo.said[-1][0]


def test_scenario_trigger_scenes_have_a_person() -> None:
    for act in ACTIONS:
        if isinstance(act.trigger, FaceDecided):
            assert [bool(scene.person) for scene in SCENES if scene.title == act.trigger.scene] == [
                True
            ]
