from __future__ import annotations

import numpy as np

from calibration.surroundings import fill_black_border, surround
from edge.chip import SIZE


def test_black_border_is_filled() -> None:
    chip = np.full((SIZE, SIZE, 3), 120, np.uint8)
    chip[:, :20] = 0
    chip[50:60, 60:70] = 0  # dark, but not at the edge
    filled = fill_black_border(chip)
    assert filled[:, :20].min() > 100 and filled[55, 65].max() == 0


def test_surround_keeps_the_middle() -> None:
    chip = np.random.default_rng(0).integers(20, 250, (SIZE, SIZE, 3), dtype=np.uint8)
    wide = surround(chip, 40)
    assert wide.shape == (SIZE + 80, SIZE + 80, 3)
    middle = wide[55:-55, 55:-55].astype(int)
    assert np.abs(middle - chip[15:-15, 15:-15]).max() <= 1
