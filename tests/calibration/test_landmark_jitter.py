from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration import landmark_jitter
from edge import chip as chips
from edge import masks
from edge.errors import ConfigError
from edge.face.detect import FaceDetector

Image = np.ndarray


def test_masked_landmarks_are_redetected(collins_chip: Image, detector: FaceDetector) -> None:
    worn = masks.draw_protocol(collins_chip, "a/b")[0]
    again = landmark_jitter.redetect_landmarks(worn, detector)
    assert again is not None
    aligned = chips.align(*again)
    assert (
        0 < np.abs(aligned.astype(int) - worn).mean() < 40
    )  # moved a little, and still the same face
    assert landmark_jitter.redetect_landmarks(np.zeros_like(worn), detector) is None


def test_alignment_shift_units() -> None:
    """A rotated, larger face to the right is rotated back, shrunk and moved left."""
    middle = (chips.SIZE / 2, chips.SIZE / 2)
    to_there = cv2.getRotationMatrix2D(middle, -10, 1.25)  # OpenCV turns the other way round
    to_there[:, 2] += (5, -2)
    there = chips.REFERENCE_XY @ to_there[:, :2].T + to_there[:, 2] + 40
    back = np.linalg.inv(np.vstack([to_there, [0, 0, 1]]))
    turn, grow, right, down = landmark_jitter.alignment_shift(there)
    assert turn == pytest.approx(-10) and grow == pytest.approx(-np.log(1.25))
    assert (right, down) == pytest.approx(tuple((back @ (*middle, 1))[:2] - middle))
    assert landmark_jitter.alignment_shift(chips.REFERENCE_XY + 40) == pytest.approx(
        (0, 0, 0, 0), abs=1e-9
    )


def test_the_spread_over_views(collins_chip: Image, detector: FaceDetector) -> None:
    empty = np.zeros_like(collins_chip)
    spread, lost = landmark_jitter.measure_jitter([collins_chip, empty], detector)
    assert (spread == 0).all() and lost == 0.5
    with pytest.raises(ConfigError, match="no face was found again in 1 chips"):
        landmark_jitter.measure_jitter([empty], detector)
