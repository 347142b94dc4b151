"""Walk-up clip of the demo, drawn from portraits; the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.demo.scenario import Scene
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


def draw_frames(
    scenes: tuple[Scene, ...], cutouts: dict[str, Cutout], seed: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yield all frames (480,640,3) of the scenes; `cutouts` by the person's name."""
    rng = np.random.default_rng(seed)
    empty = draw_room()
    for scene in scenes:
        person = cutouts[scene.person.person].masked(scene.mask) if scene.person else None
        for i in range(scene.frames):
            canvas = empty.copy()
            if person is not None:
                draw_person(canvas, person, _walking_up(i / max(1, scene.frames - 1)))
            yield expose(canvas, 1 + 0.08 * np.sin(2 * np.pi * i / (3.1 * FPS)), rng)


def _walking_up(progress: float) -> Stance:
    """Return the stance of a person coming nearer; `progress` 0..1."""
    face_px = 55 + 125 * progress**1.2
    sway, bob = np.sin(progress * 11), abs(np.sin(progress * 19))
    x = WIDTH * (0.5 + 0.12 * (1 - progress) * np.cos(progress * 4) + 0.02 * sway)
    y = HEIGHT * (0.36 + 0.08 * progress) + 5 * bob
    return Stance(x, y, face_px, turn_deg=3.0 * sway, blur_px=1.2 * (1 - progress))
