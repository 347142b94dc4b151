"""How far the detector's landmarks move a chip, bare and under a mask: `python -m calibration.landmark_jitter` measures it.

What it finds sets the jitter of the alignment in training (`train.data`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge import chip as chips
from edge.errors import ConfigError
from edge.face.detect import FaceDetector

_BORDER = 40  # pixels around a chip when a face is looked for in it again
MIN_SCORE = 0.5
DETECTOR = "320x256"

Picture = NDArray[np.uint8]


def redetect_landmarks(
    chip: Picture, detector: FaceDetector
) -> tuple[Picture, NDArray[np.float32]] | None:
    """The chip with a border, and the landmarks (5,2) that the detector finds in it; None where it finds no face."""
    wide = np.pad(chip, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="edge")
    middle = np.array([wide.shape[1], wide.shape[0]]) / 2
    for face in detector.detect(wide):
        if np.abs(face.box_xyxy.reshape(2, 2).mean(axis=0) - middle).max() < chips.SIZE / 2:
            return wide, face.landmarks_xy
    return None


def alignment_shift(landmarks_xy: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """What `chip.align` by these landmarks (5,2) of `find_again` does to a chip that was aligned before.

    Degrees, logarithm of the scale, and pixels to the right and down at the middle of the chip.
    """
    transform = chips.similarity(landmarks_xy, chips.REFERENCE_XY)
    middle = np.full(2, chips.SIZE / 2)
    moved = transform[:, :2] @ (middle + _BORDER) + transform[:, 2] - middle
    angle, scale = (
        np.arctan2(transform[1, 0], transform[0, 0]),
        np.hypot(transform[0, 0], transform[1, 0]),
    )
    return float(np.degrees(angle)), float(np.log(scale)), float(moved[0]), float(moved[1])


def measure_jitter(
    views: Iterable[Picture], detector: FaceDetector
) -> tuple[NDArray[np.float64], float]:
    """Half the distance from the 16th to the 84th percentile of each movement (4,), and the share of faces not found."""
    moved, looked_at = [], 0
    for view in views:
        looked_at += 1
        if (again := redetect_landmarks(view, detector)) is not None:
            moved.append(alignment_shift(again[1]))
    if not moved:
        raise ConfigError(
            f"no face was found again in {looked_at:,} chips; are they aligned faces?"
        )
    low, high = np.percentile(moved, (16, 84), axis=0)
    return (high - low) / 2, 1 - len(moved) / looked_at
