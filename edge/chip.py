"""Preprocessing of faces: alignment to the 112x112 chip and pixel normalisation.

Each bundle contains the preprocessing version; a bundle with another version is refused.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

PREPROCESSING = "arcface-112-rgb-127.5/1"
SIZE = 112

# ArcFace reference points: eyes, nose tip, mouth corners, left to right in the picture.
REFERENCE_XY: NDArray[np.float64] = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
REFERENCE_XY.setflags(write=False)


def similarity(
    source_xy: NDArray[np.floating], target_xy: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the (2,3) similarity transform from source to target points, both (N,2).

    Least squares with scale and rotation, without reflection: S. Umeyama, "Least-squares estimation
    of transformation parameters between two point patterns", PAMI 1991. With points as complex
    numbers it is a linear regression. Raises ValueError if the points coincide.
    """
    source, target = _complex(source_xy), _complex(target_xy)
    source_mean, target_mean = source.mean(), target.mean()
    from_mean = source - source_mean
    variance = float(np.vdot(from_mean, from_mean).real)
    if not math.isfinite(variance) or variance < 1e-9 * len(source):
        raise ValueError(
            f"expected distinct finite points to align, found {np.asarray(source_xy).tolist()}"
        )
    # The length is the scale, the angle the rotation.
    turn = complex(np.vdot(from_mean, target - target_mean)) / variance
    shift = complex(target_mean - turn * source_mean)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _complex(points_xy: NDArray[np.floating]) -> NDArray[np.complex128]:
    """Return points (N,2) as complex numbers (N,)."""
    return np.ascontiguousarray(points_xy, dtype=np.float64).view(np.complex128)[:, 0]


def invert(transform: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the inverse of a (2,3) affine transform."""
    linear = np.linalg.inv(np.asarray(transform[:, :2], dtype=np.float64))
    return np.column_stack([linear, -linear @ transform[:, 2]])


def align(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the chip (112,112,3) of a face in an image (H,W,3), both uint8 BGR.

    Landmarks (5,2) are in pixels of the image.
    """
    transform = similarity(landmarks_xy, REFERENCE_XY)
    chip = cv2.warpAffine(image, transform, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, dtype=np.uint8)


def to_input(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return network input (N,3,112,112) float32 RGB in -1..1 for chips (N,112,112,3) uint8 BGR."""
    if chips.ndim != 4 or chips.shape[1:] != (SIZE, SIZE, 3) or chips.dtype != np.uint8:
        raise ValueError(
            f"expected chips of shape (N, 112, 112, 3) uint8, found {chips.shape} {chips.dtype}"
        )
    rgb = np.ascontiguousarray(chips[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
    rgb -= 127.5
    rgb /= 127.5
    return rgb
