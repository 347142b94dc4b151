"""Alignment error caused by landmark detection on bare and masked chips.

The results set the alignment jitter of training (`train.data`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge import chip as chips
from edge.errors import ConfigError
from edge.face.detect import FaceDetector

_BORDER = 40  # pixels around a chip for redetection
MIN_SCORE = 0.5
DETECTOR = "320x256"

Picture = NDArray[np.uint8]


def redetect_landmarks(
    chip: Picture, detector: FaceDetector
) -> tuple[Picture, NDArray[np.float32]] | None:
    """Return the chip with a border and its detected landmarks (5,2); None without a face."""
    wide = np.pad(chip, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="edge")
    middle = np.array([wide.shape[1], wide.shape[0]]) / 2
    for face in detector.detect(wide):
        if np.abs(face.box_xyxy.reshape(2, 2).mean(axis=0) - middle).max() < chips.SIZE / 2:
            return wide, face.landmarks_xy
    return None


def alignment_shift(landmarks_xy: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """Return the change of an aligned chip by `chip.align` with redetected landmarks (5,2).

    Rotation in degrees, logarithm of the scale, shift of the centre right and down in pixels.
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
    """Return the jitter (4,) of all shifts and the share of missed faces.

    The jitter is half the range from the 16th to the 84th percentile.
    """
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
