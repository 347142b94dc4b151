"""Synthetic people for machines without face data: warped and tinted portraits.

They show that training runs and learns. The result is of no use at a door.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.chip import SIZE
from edge.portraits import COLLINS, HOPPER, load_chip

_GRID = 5  # control points per side of the displacement field
_BEND_PX = 3.5
_PICTURES = 8


def write_people(out: Path, people: int, seed: int = 0) -> None:
    """Write <person>/<image>.jpg of `people` identities; raises PhotoError without portraits."""
    chips = [load_chip(portrait) for portrait in (COLLINS, HOPPER)]
    for number in tqdm(range(people), desc="synthetic people", unit="person", disable=None):
        rng = np.random.default_rng((seed, number))
        folder = out / f"made-up-{number:04d}"
        folder.mkdir(parents=True)
        bend = rng.normal(0, _BEND_PX, (_GRID, _GRID, 2))
        tint = np.eye(3) + rng.normal(0, 0.07, (3, 3))
        face = chips[number % 2] if rng.random() < 0.5 else chips[number % 2][:, ::-1]
        for picture in range(_PICTURES):
            # The pictures of a person differ in expression and light.
            seen = _warp(face, bend + rng.normal(0, 0.8, bend.shape))
            lit = seen.reshape(-1, 3) @ tint.T * rng.uniform(0.75, 1.2) + rng.normal(
                0, 5, (SIZE * SIZE, 3)
            )
            cv2.imwrite(
                str(folder / f"{picture}.jpg"),
                lit.clip(0, 255).astype(np.uint8).reshape(seen.shape),
            )


def _warp(chip: NDArray[np.uint8], bend: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Warp a chip by a smooth displacement field with control points (5,5,2) in pixels."""
    field = cv2.resize(bend.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    y, x = np.indices((SIZE, SIZE), dtype=np.float32)
    moved = cv2.remap(
        chip, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.uint8)
