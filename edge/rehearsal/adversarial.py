"""Adversarial clips drawn from the two portraits: difficult situations and attacks.

All clips are drawn from photos, also those that represent living people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.masks import MaskStyle
from edge.portraits import COLLINS, HOPPER
from edge.rehearsal.clips import Clip, ClipFrame, ExpectedGrants, VisiblePerson
from edge.synthesis import props
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

SUBJECT = COLLINS.person  # the only enrolled person
_MUST, _MAY, _NEVER = (
    ExpectedGrants(must=frozenset({SUBJECT})),
    ExpectedGrants(may=frozenset({SUBJECT})),
    ExpectedGrants(),
)
_THERE = Stance(WIDTH / 2, HEIGHT * 0.44, 120)  # where most people stand
_MASK = MaskStyle("surgical", (222, 190, 140), light=0.3, seed=7)
_CHIN_PX = 46.0  # on a chip: how far down the mask slides until the mouth is free
_DARK = 0.03  # remaining share of the light
_TOO_FEW = 2  # frames: fewer than the default number of votes


class _View:
    """Camera view of a room, with the cutouts of both people."""

    def __init__(self, cutouts: Mapping[str, Cutout]) -> None:
        self.collins, self.hopper = cutouts[SUBJECT], cutouts[HOPPER.person]
        self._room, self._rng = draw_room(), np.random.default_rng(0)

    def draw_frame(self, *people: tuple[Cutout, Stance], light: float = 1.0) -> ClipFrame:
        """Return one frame; people are given from back to front."""
        canvas = self._room.copy()
        for person, stance in people:
            draw_person(canvas, person, stance)
        seen = [
            (who, at)
            for i, (who, at) in enumerate(people)
            if not any(_hides(front, at) for _, front in people[i + 1 :])
        ]
        present = tuple(VisiblePerson(who.person, (at.x, at.y)) for who, at in seen)
        return ClipFrame(expose(canvas, light, self._rng), present)


def _photo(stage: _View, frames: int) -> Iterator[ClipFrame]:
    photo = props.draw_print(stage.collins)
    return (stage.draw_frame((photo, _THERE)) for _ in range(frames))


def _frozen(stage: _View, frames: int) -> Iterator[ClipFrame]:
    return iter([stage.draw_frame((stage.collins, _THERE))] * frames)


def _screen(stage: _View, frames: int) -> Iterator[ClipFrame]:
    tablet = props.draw_tablet(stage.collins)
    for i in range(frames):
        s = i / FPS
        held = Stance(
            _THERE.x + 14 * math.sin(2.1 * s),
            _THERE.y + 6 * math.sin(3.3 * s),
            120 + 6 * math.sin(1.4 * s),
            2 * math.sin(1.7 * s),
        )
        yield stage.draw_frame((tablet, held))


def _crossing(stage: _View, frames: int) -> Iterator[ClipFrame]:
    for p in _progress(frames):
        left, right = WIDTH * (0.2 + 0.6 * p), WIDTH * (0.8 - 0.6 * p)
        yield stage.draw_frame(
            (stage.hopper, replace(_THERE, x=right, face_px=105)),
            (stage.collins, replace(_THERE, x=left)),
        )


def _from_the_side(stage: _View, frames: int) -> Iterator[ClipFrame]:
    return (
        stage.draw_frame((stage.collins, replace(_THERE, x=_THERE.x * min(1.0, 1.5 * p))))
        for p in _progress(frames)
    )


def _mask_put_on(stage: _View, frames: int) -> Iterator[ClipFrame]:
    for i in range(_TOO_FEW):
        yield stage.draw_frame((stage.collins, _sway(_THERE, i)))
    yield from _masked(
        stage, [1 - _ramp(p, -0.1, 0.05) for p in _progress(frames - _TOO_FEW)], first=_TOO_FEW
    )


def _mask_pulled_down(stage: _View, frames: int) -> Iterator[ClipFrame]:
    return _masked(stage, [_ramp(p, 0.45, 0.6) for p in _progress(frames)], first=0)


def _masked(stage: _View, lowered: Sequence[float], first: int) -> Iterator[ClipFrame]:
    """Yield frames with a mask that covers the mouth at 0 and is below it at 1."""
    for i, down in enumerate(lowered, first):
        masked = stage.collins.masked(replace(_MASK, shift_xy=(0.0, _CHIN_PX * down)))
        yield stage.draw_frame((masked, _sway(_THERE, i)))


def _light_off(stage: _View, frames: int) -> Iterator[ClipFrame]:
    for i in range(frames):
        yield stage.draw_frame(
            (stage.collins, _sway(_THERE, i)), light=_DARK if _TOO_FEW <= i < 0.6 * frames else 1.0
        )


def _five_faces(stage: _View, frames: int) -> Iterator[ClipFrame]:
    others = [Stance(95, 95, 60), Stance(480, 85, 75), Stance(130, 290, 90), Stance(520, 275, 120)]
    for i in range(frames):
        crowd = [(stage.hopper, _sway(stance, i + 7 * n)) for n, stance in enumerate(others)]
        yield stage.draw_frame(*crowd, (stage.collins, _sway(Stance(315, 265, 105), i)))


def _profile(stage: _View, frames: int) -> Iterator[ClipFrame]:
    profile = props.turn_head(stage.collins, squeeze=8)
    return (stage.draw_frame((profile, _sway(_THERE, i))) for i in range(frames))


def _far(stage: _View, frames: int) -> Iterator[ClipFrame]:
    return (
        stage.draw_frame((stage.collins, _sway(replace(_THERE, face_px=25), i)))
        for i in range(frames)
    )


def _near(stage: _View, frames: int) -> Iterator[ClipFrame]:
    return (
        stage.draw_frame((stage.collins, Stance(_THERE.x, HEIGHT / 2, 360 + 90 * p)))
        for p in _progress(frames)
    )


def _motion_blur(stage: _View, frames: int) -> Iterator[ClipFrame]:
    smeared = props.blur_motion(stage.collins, 23)
    return (
        stage.draw_frame((smeared, replace(_THERE, x=WIDTH * (0.15 + 0.7 * p))))
        for p in _progress(frames)
    )


def _swap(stage: _View, frames: int) -> Iterator[ClipFrame]:
    return (
        stage.draw_frame((stage.collins if i < _TOO_FEW else stage.hopper, _sway(_THERE, i)))
        for i in range(frames)
    )


def _hides(front: Stance, behind: Stance) -> bool:
    """Return True if a head covers the centre of the face behind it."""
    return math.hypot(front.x - behind.x, front.y - behind.y) < 0.6 * front.face_px


def _progress(frames: int) -> list[float]:
    return [float(p) for p in np.linspace(0, 1, frames)]


def _ramp(value: float, begin: float, end: float) -> float:
    """Return 0 up to `begin`, 1 from `end` on, and a linear ramp between them."""
    return float(np.clip((value - begin) / (end - begin), 0, 1))


def _sway(stance: Stance, frame: int) -> Stance:
    """Return the stance with the small movements of a standing person."""
    s, reach = frame / FPS, 0.04 * stance.face_px
    return replace(
        stance, x=stance.x + reach * math.sin(2.3 * s), y=stance.y + reach / 2 * math.sin(3.1 * s)
    )


@dataclass(frozen=True, slots=True)
class _ClipSpec:
    name: str
    description: str
    seconds: float
    draw: Callable[[_View, int], Iterator[ClipFrame]]
    expected: ExpectedGrants
    spoof: bool = False


CLIPS = (
    _ClipSpec("photo", "a printed photo of Collins, held still", 2.0, _photo, _MUST, spoof=True),
    _ClipSpec(
        "frozen-stream",
        "the same frame of Collins, repeated",
        2.0,
        _frozen,
        _MUST,
        spoof=True,
    ),
    _ClipSpec(
        "screen", "Collins on a tablet with a bezel, moved by hand", 3.0, _screen, _MUST, spoof=True
    ),
    _ClipSpec(
        "crossing",
        "Collins walks past Hopper, who is not enrolled, and hides her for a moment",
        3.0,
        _crossing,
        _MUST,
    ),
    _ClipSpec(
        "from-the-side",
        "Collins enters from the side, at first half outside the picture",
        3.0,
        _from_the_side,
        _MUST,
    ),
    _ClipSpec("mask-put-on", "Collins puts on a mask after two frames", 3.0, _mask_put_on, _MUST),
    _ClipSpec(
        "mask-pulled-down", "Collins wears a mask and pulls it down", 3.0, _mask_pulled_down, _MUST
    ),
    _ClipSpec(
        "light-off",
        "the light goes off after two frames of Collins, then on again",
        3.0,
        _light_off,
        _MUST,
    ),
    _ClipSpec(
        "five-faces", "Collins among four of Hopper, of different sizes", 2.0, _five_faces, _MAY
    ),
    _ClipSpec(
        "profile",
        "Collins with the head turned far to the side; a warped portrait, not a true profile",
        2.0,
        _profile,
        _MAY,
    ),
    _ClipSpec("far", "Collins far away: a face of 25 pixels", 2.0, _far, _NEVER),
    _ClipSpec("near", "Collins so near that the face fills the picture", 2.0, _near, _MAY),
    _ClipSpec("motion-blur", "Collins walks by with motion blur", 2.0, _motion_blur, _MAY),
    _ClipSpec(
        "swap", "Collins for two frames, then Hopper's face at the same place", 3.0, _swap, _MAY
    ),
)


def adversarial_clips(cutouts: Mapping[str, Cutout]) -> list[Clip]:
    """Return all clips, equal on every machine; frames (480,640,3) at the demo's pace."""

    def clip(scene: _ClipSpec) -> Clip:
        frames = round(scene.seconds * FPS)
        return Clip(
            scene.name, scene.description, FPS, lambda: scene.draw(_View(cutouts), frames),
            scene.expected, frames, spoof=scene.spoof, drawn=True,
        )  # fmt: skip

    return [clip(scene) for scene in CLIPS]
