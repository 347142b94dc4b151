"""The one place where a face becomes network input: alignment to the 112x112 chip, and pixel normalisation.

The preprocessing version is written into every bundle; a bundle with another version is refused.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

PREPROCESSING = "arcface-112-rgb-127.5/1"
SIZE = 112

# Eyes, nose tip, mouth corners (left to right as seen in the picture) on a 112x112 chip: the ArcFace reference points.
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
    """The (2,3) similarity transform that takes source points nearest to target points, both (N,2).

    Least squares with scale and rotation, without reflection; in the plane, where points are complex numbers, that is a line
    through them: S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991.
    Raises ValueError where the points coincide.
    """
    source, target = _complex(source_xy), _complex(target_xy)
    source_mean, target_mean = source.mean(), target.mean()
    from_mean = source - source_mean
    variance = float(np.vdot(from_mean, from_mean).real)
    if not math.isfinite(variance) or variance < 1e-9 * len(source):
        raise ValueError(
            f"expected distinct finite points to align, found {np.asarray(source_xy).tolist()}"
        )
    turn = (
        complex(np.vdot(from_mean, target - target_mean)) / variance
    )  # its length is the scale, its angle the rotation
    shift = complex(target_mean - turn * source_mean)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _complex(points_xy: NDArray[np.floating]) -> NDArray[np.complex128]:
    """(N,) of (N,2)."""
    return np.ascontiguousarray(points_xy, dtype=np.float64).view(np.complex128)[:, 0]


def invert(transform: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inverse of a (2,3) affine transform."""
    linear = np.linalg.inv(np.asarray(transform[:, :2], dtype=np.float64))
    return np.column_stack([linear, -linear @ transform[:, 2]])


def align(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The chip (112,112,3) of one face in an image (H,W,3), both uint8 BGR; landmarks (5,2) in pixels of the image."""
    transform = similarity(landmarks_xy, REFERENCE_XY)
    chip = cv2.warpAffine(image, transform, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, dtype=np.uint8)


def to_input(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Network input (N,3,112,112) float32, RGB in -1..1, of chips (N,112,112,3) uint8 BGR."""
    if chips.ndim != 4 or chips.shape[1:] != (SIZE, SIZE, 3) or chips.dtype != np.uint8:
        raise ValueError(
            f"expected chips of shape (N, 112, 112, 3) uint8, found {chips.shape} {chips.dtype}"
        )
    rgb = np.ascontiguousarray(chips[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
    rgb -= 127.5
    rgb /= 127.5
    return rgb
