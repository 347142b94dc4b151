"""Drawn clips of the enrolled person at a door with access rules of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.access.rules.settings import build_access_rules
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.masks import MaskStyle
from edge.portraits import COLLINS, HOPPER
from edge.rehearsal.clips import Clip, ClipFrame, ExpectedGrants, VisiblePerson
from edge.rehearsal.door_script import DoorScript, ScriptedEvent
from edge.synthesis.drawing import (
    FPS,
    HEIGHT,
    WIDTH,
    Cutout,
    Stance,
    draw_person,
    draw_room,
    expose,
)

_SECONDS = 3.0
OWNER, OTHER = COLLINS.person, HOPPER.person  # only the first one is enrolled
OPENS_FOR_OWNER = ExpectedGrants(must=frozenset({OWNER}))
MASK = MaskStyle("surgical", (222, 190, 140), light=0.3, seed=7)


@dataclass(frozen=True, slots=True)
class RuleCase:
    """Clip of the owner with a script and access rules."""

    name: str
    description: str
    access: Mapping[str, Any]  # section `access`, instead of the terminal's
    inputs: tuple[ScriptedEvent, ...]
    expected: ExpectedGrants
    mask: MaskStyle | None = None
    gone_s: float = math.inf  # no one is visible from then on
    pulse_s: float = 3.0


def build_rule_clips(cases: Sequence[RuleCase], cutouts: Mapping[str, Cutout]) -> list[Clip]:
    """Return all clips, equal on every machine; frames (480,640,3) at the demo's pace."""
    return [_build_clip(case, cutouts[OWNER]) for case in cases]


def _build_clip(case: RuleCase, cutout: Cutout) -> Clip:
    rules = build_access_rules(AccessConfig.model_validate(case.access), DoorConfig())
    frames = round(_SECONDS * FPS)
    return Clip(
        case.name, case.description, FPS, lambda: _draw(cutout.masked(case.mask), case, frames),
        case.expected, frames, drawn=True,
        script=DoorScript(rules, next(iter(rules.lanes)), {}, case.inputs, case.pulse_s),
    )  # fmt: skip


def _draw(person: Cutout, case: RuleCase, frames: int) -> Iterator[ClipFrame]:
    room, rng = draw_room(), np.random.default_rng(0)
    for number in range(frames):
        canvas, sway = room.copy(), math.sin(2.3 * number / FPS)
        stance = Stance(WIDTH / 2 + 5 * sway, HEIGHT * 0.44, 120)
        seen: tuple[VisiblePerson, ...] = ()
        if number / FPS < case.gone_s:
            draw_person(canvas, person, stance)
            seen = (VisiblePerson(person.person, (stance.x, stance.y)),)
        yield ClipFrame(expose(canvas, 1.0, rng), seen)
