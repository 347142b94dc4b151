"""Regions of the canonical chip on the 14x14 grid of its 8 px cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 14
# Around the reference landmarks: rows (top, bottom) and columns (left, right) of the grid.
LANDMARK_REGIONS = {"eyes": (5, 8, 3, 11), "nose": (8, 10, 5, 9), "mouth": (10, 13, 4, 10)}
# The mask is the cells where A_m exceeds this share; the other regions end there.
MASK_SHARE = 0.5
REGIONS = (*LANDMARK_REGIONS, "rest", "mask")


def landmark_regions() -> NDArray[np.float32]:
    """Return eyes, nose, mouth and rest as maps (4,14,14) of 0 and 1 that add up to 1."""
    maps = np.zeros((len(LANDMARK_REGIONS) + 1, CELLS, CELLS), np.float32)
    for each, (top, bottom, left, right) in zip(maps, LANDMARK_REGIONS.values(), strict=False):
        each[top:bottom, left:right] = 1
    maps[-1] = 1 - maps.sum(axis=0)
    return maps
