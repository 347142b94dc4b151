"""Made-up people for a machine that has no faces: the two public-domain portraits, bent and tinted into strangers.

They show that training runs and learns, nothing more: what is learned from them is of no use at a door.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.chip import SIZE
from edge.portraits import COLLINS, HOPPER, load_chip

_GRID = 5  # control points a side of the field that bends a face
_BEND_PX = 3.5
_PICTURES = 8


def write_people(out: Path, people: int, seed: int = 0) -> None:
    """A folder <person>/<image>.jpg of `people` made-up identities; raises PhotoError where the portraits are missing."""
    chips = [load_chip(portrait) for portrait in (COLLINS, HOPPER)]
    for number in tqdm(range(people), desc="made-up people", unit="person", disable=None):
        rng = np.random.default_rng((seed, number))
        folder = out / f"made-up-{number:04d}"
        folder.mkdir(parents=True)
        bend = rng.normal(0, _BEND_PX, (_GRID, _GRID, 2))
        tint = np.eye(3) + rng.normal(0, 0.07, (3, 3))
        face = chips[number % 2] if rng.random() < 0.5 else chips[number % 2][:, ::-1]
        for picture in range(_PICTURES):
            # One person's pictures differ a little in expression and light.
            seen = _warp(face, bend + rng.normal(0, 0.8, bend.shape))
            lit = seen.reshape(-1, 3) @ tint.T * rng.uniform(0.75, 1.2) + rng.normal(
                0, 5, (SIZE * SIZE, 3)
            )
            cv2.imwrite(
                str(folder / f"{picture}.jpg"),
                lit.clip(0, 255).astype(np.uint8).reshape(seen.shape),
            )


def _warp(chip: NDArray[np.uint8], bend: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The chip under a smooth displacement field given at control points (5,5,2), in pixels."""
    field = cv2.resize(bend.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    y, x = np.indices((SIZE, SIZE), dtype=np.float32)
    moved = cv2.remap(
        chip, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.uint8)
