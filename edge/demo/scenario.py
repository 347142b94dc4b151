"""Scenario of the demo: people in view, and actions on the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Literal

from edge.door.controller import InputKind, OperatorCommand
from edge.masks import MaskStyle
from edge.portraits import COLLINS, HOPPER, Portrait
from edge.synthesis.drawing import FPS

Expected = Literal["opens", "opens after a PIN", "refuses", "stays locked"]


@dataclass(frozen=True, slots=True)
class Scene:
    """Some seconds of the clip with at most one person, and the expected answer of the door."""

    title: str
    seconds: float
    person: Portrait | None = None
    mask: MaskStyle | None = None
    expected: Expected = "stays locked"

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)


@dataclass(frozen=True, slots=True)
class FaceDecided:
    """Trigger: the recogniser has decided on a face in the scene of this title."""

    scene: str


@dataclass(frozen=True, slots=True)
class DoorAsked:
    """Trigger: the door asks for a card or PIN after a face in the scene of this title."""

    scene: str


@dataclass(frozen=True, slots=True)
class DoorRecorded:
    """Trigger: the door has recorded this event since the previous action."""

    event: str


@dataclass(frozen=True, slots=True)
class InputChange:
    """An input of the door changes its level."""

    input: InputKind
    active: bool


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """Command of an operator, with a reason."""

    command: OperatorCommand
    note: str


class DemoPin(str, Enum):
    """A PIN of the demo; its digits are drawn for each run and never shown."""

    RIGHT = f"PIN of {COLLINS.person}"
    DURESS = f"duress PIN of {COLLINS.person}"
    WRONG = "PIN of no one"


@dataclass(frozen=True, slots=True)
class PinEntry:
    """A person enters a PIN at the reader."""

    pin: DemoPin


Trigger = FaceDecided | DoorAsked | DoorRecorded
Effect = InputChange | OperatorRequest | PinEntry


@dataclass(frozen=True, slots=True)
class Action:
    """Action on the door, some seconds after its trigger or, without one, the previous action."""

    description: str
    effect: Effect
    pause_s: float
    trigger: Trigger | None = None


_SURGICAL = MaskStyle("surgical", (222, 190, 140), light=0.3, seed=7)
_KN95 = MaskStyle("kn95", (236, 236, 234), light=-0.3, seed=8)

MASKED = "Eileen Collins, masked"
UNDER_DURESS = "Eileen Collins, under duress"

SCENES = (
    Scene("Empty", 1.6),
    Scene("Eileen Collins", 4.0, COLLINS, expected="opens"),
    Scene("Empty", 3.4),
    Scene("Grace Hopper, not enrolled", 4.0, HOPPER),
    Scene("Empty", 1.0),
    Scene(MASKED, 4.0, COLLINS, _SURGICAL, expected="opens after a PIN"),
    Scene("Empty", 2.6),
    Scene(UNDER_DURESS, 3.6, COLLINS, _SURGICAL, expected="opens after a PIN"),
    Scene("Empty", 2.2),
    Scene("Grace Hopper, masked", 4.0, HOPPER, _KN95),
    Scene("Empty", 1.6),
    Scene("Lockdown: Eileen Collins", 3.0, COLLINS, expected="refuses"),
    Scene("Empty", 1.0),
    Scene("Released: Eileen Collins", 3.4, COLLINS, expected="opens"),
    Scene("Empty", 5.0),
)

# Triggers are records of the two processes, not times: networks load slowly, and a busy machine
# plays the clip late. Only the lockdown must be in time for the next person; it has the rest of a
# scene and an empty scene. The door reads its inputs before it serves a command, so that a command
# sees the input level of the previous action.
ACTIONS = (
    Action(
        "Eileen Collins, masked, enters a wrong PIN",
        PinEntry(DemoPin.WRONG),
        pause_s=0.5,
        trigger=DoorAsked(MASKED),
    ),
    Action(
        "Eileen Collins enters her PIN",
        PinEntry(DemoPin.RIGHT),
        pause_s=0.3,
        trigger=DoorRecorded("card-pin-refused"),
    ),
    Action(
        "Eileen Collins, threatened by someone, enters her duress PIN",
        PinEntry(DemoPin.DURESS),
        pause_s=0.5,
        trigger=DoorAsked(UNDER_DURESS),
    ),
    Action(
        "An operator sees the silent alarm, and ends it when help is there",
        OperatorRequest(OperatorCommand.RESET_DURESS, "the guard is with her"),
        pause_s=2.0,
        trigger=DoorRecorded("duress"),
    ),
    Action(
        "An operator locks the door down",
        OperatorRequest(OperatorCommand.LOCKDOWN, "a stranger tries the door"),
        pause_s=2.0,
        trigger=FaceDecided("Grace Hopper, masked"),
    ),
    Action(
        "The operator ends the lockdown",
        OperatorRequest(OperatorCommand.RELEASE, "the stranger has gone"),
        pause_s=0.0,
        trigger=FaceDecided("Released: Eileen Collins"),
    ),
    Action(
        "Eileen Collins opens the door and leaves it open",
        InputChange(InputKind.CONTACT, True),
        pause_s=0.5,
        trigger=DoorRecorded("unlocked"),
    ),
    Action(
        "The alarm is on; the door is closed",
        InputChange(InputKind.CONTACT, False),
        pause_s=1.0,
        trigger=DoorRecorded("alarm"),
    ),
    Action(
        "Fire", InputChange(InputKind.FIRE, True), pause_s=1.0, trigger=DoorRecorded("alarm-ended")
    ),
    Action(
        "An operator tries to reset while the fire burns",
        OperatorRequest(OperatorCommand.RESET_FIRE, "the building is evacuated"),
        pause_s=1.0,
        trigger=DoorRecorded("unlocked"),
    ),
    Action("The fire is out", InputChange(InputKind.FIRE, False), pause_s=0.8),
    Action(
        "The operator resets again",
        OperatorRequest(OperatorCommand.RESET_FIRE, "the fire is out"),
        pause_s=0.8,
    ),
)


def frame_ranges(scenes: Sequence[Scene]) -> list[range]:
    """Return the frame numbers of each scene in the clip."""
    ends = list(accumulate(scene.frames for scene in scenes))
    return [range(end - scene.frames, end) for scene, end in zip(scenes, ends, strict=True)]
