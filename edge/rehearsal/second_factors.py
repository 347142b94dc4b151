"""Drawn clips with cards and PINs: right and wrong card, mask and PIN, duress PIN."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.access.rules.settings import build_access_rules
from edge.access.rules.values import Factor
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.config.lane import DEFAULT_LANE
from edge.masks import MaskStyle
from edge.portraits import COLLINS, HOPPER
from edge.rehearsal.clips import Clip, ClipFrame, ExpectedGrants, VisiblePerson
from edge.rehearsal.door_script import DoorScript, ScriptedInput
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
_MASK = MaskStyle("surgical", (222, 190, 140), light=0.3, seed=7)
_CARD_MODE = {"mode": "card-and-face"}
_MASK_RULE = {"masked": "require-second-factor"}
_OWNER, _OTHER = COLLINS.person, HOPPER.person
_OPENS = ExpectedGrants(must=frozenset({_OWNER}))


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    description: str
    access: Mapping[str, Any]  # section `access`, instead of the terminal's
    inputs: tuple[ScriptedInput, ...]
    expected: ExpectedGrants
    mask: MaskStyle | None = None


_CASES = (
    _Case(
        "card-and-face",
        "Collins, then her card",
        _CARD_MODE,
        (ScriptedInput(1.5, Factor.CARD, _OWNER),),
        _OPENS,
    ),
    _Case(
        "wrong-card",
        "Collins, then a card of no one and the card of Hopper",
        _CARD_MODE,
        (ScriptedInput(1.0, Factor.CARD, None), ScriptedInput(1.5, Factor.CARD, _OTHER)),
        ExpectedGrants(),
    ),
    _Case(
        "mask-and-pin",
        "Collins with a mask, then a wrong PIN and her PIN",
        _MASK_RULE,
        (ScriptedInput(1.5, Factor.PIN, None), ScriptedInput(2.0, Factor.PIN, _OWNER)),
        _OPENS,
        _MASK,
    ),
    _Case(
        "mask-without-pin",
        "Collins with a mask, without a card or PIN",
        _MASK_RULE,
        (),
        ExpectedGrants(),
        _MASK,
    ),
    _Case(
        "duress-pin",
        "Collins with a mask, then her duress PIN",
        _MASK_RULE,
        (ScriptedInput(1.5, Factor.DURESS_PIN, _OWNER),),
        _OPENS,
        _MASK,
    ),
)


def second_factor_clips(cutouts: Mapping[str, Cutout]) -> list[Clip]:
    """Return all clips, equal on every machine; frames (480,640,3) at the demo's pace."""
    return [_build_clip(case, cutouts[_OWNER]) for case in _CASES]


def _build_clip(case: _Case, cutout: Cutout) -> Clip:
    rules = build_access_rules(AccessConfig.model_validate(case.access), DoorConfig())
    frames = round(_SECONDS * FPS)
    return Clip(
        case.name, case.description, FPS, lambda: _draw(cutout.masked(case.mask), frames),
        case.expected, frames, drawn=True, script=DoorScript(rules, DEFAULT_LANE, {}, case.inputs),
    )  # fmt: skip


def _draw(person: Cutout, frames: int) -> Iterator[ClipFrame]:
    room, rng = draw_room(), np.random.default_rng(0)
    for number in range(frames):
        canvas, sway = room.copy(), math.sin(2.3 * number / FPS)
        stance = Stance(WIDTH / 2 + 5 * sway, HEIGHT * 0.44, 120)
        draw_person(canvas, person, stance)
        seen = VisiblePerson(person.person, (stance.x, stance.y))
        yield ClipFrame(expose(canvas, 1.0, rng), (seen,))
