"""Surroundings for aligned chips: a detector needs more of a picture than the face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.chip import SIZE

_BLACK = 8  # brightest value of a border that alignment filled
_MIN_EDGE_PX = 4  # pixels at the chip's edge from which a dark area counts as a filled border
_SOFT_PX = 3.0  # transition between the chip and its blurred surroundings
_BLUR_PX = 5.0


def fill_black_border(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace black borders of a chip (112,112,3), which alignment filled, by their neighbours."""
    dark = (chip.max(axis=2) < _BLACK).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = [n for n in np.unique(edge) if n and (edge == n).sum() >= _MIN_EDGE_PX]
    if not outside:
        return chip
    hole = cv2.dilate(np.isin(labels, outside).astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(chip, hole, 3, cv2.INPAINT_TELEA), np.uint8)


def surround(chip: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    """Return a chip (112,112,3) with its edge repeated and blurred, `border` pixels wide."""
    wide = cv2.copyMakeBorder(
        fill_black_border(chip), border, border, border, border, cv2.BORDER_REPLICATE
    )
    blurred = cv2.GaussianBlur(wide, (0, 0), _BLUR_PX)
    inside = np.zeros((SIZE + 2 * border,) * 2, np.float32)
    inside[border:-border, border:-border] = 1
    alpha = cv2.GaussianBlur(inside, (0, 0), _SOFT_PX)[..., None]
    return np.asarray(wide * alpha + blurred * (1 - alpha), np.uint8)
