"""Picture of the zone: crop, size, and faces outside."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.camera.zone_picture import ZonePicture
from edge.face.detect import FULL_FRAME


def image(width: int, height: int) -> np.ndarray:
    """Return a picture whose blue grows from left to right and green from top to bottom."""
    columns = np.linspace(0, 255, width).astype(np.uint8)
    rows = np.linspace(0, 255, height).astype(np.uint8)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = columns[None], rows[:, None]
    return picture


def decoded(picture: ZonePicture, *hidden: np.ndarray) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(picture.encode(hidden), np.uint8), cv2.IMREAD_COLOR)
    assert found.shape == (picture.height, picture.width, 3)
    return found


def test_picture_is_cropped_to_the_zone() -> None:
    picture = ZonePicture(image(400, 200), (0.25, 0.5, 0.75, 1.0))
    found = decoded(picture)
    assert found.shape[:2] == (100, 200)
    assert abs(int(found[50, 2, 0]) - 64) < 8 and abs(int(found[2, 100, 1]) - 128) < 8
    assert found[..., 0].max() < 200 and found[..., 1].min() > 115


@pytest.mark.parametrize(
    ("size", "shown"),
    [((1920, 1080), (960, 540)), ((640, 480), (640, 480)), ((1080, 1920), (960, 1707))],
)
def test_picture_is_at_most_960_wide(size: tuple[int, int], shown: tuple[int, int]) -> None:
    picture = ZonePicture(image(*size), FULL_FRAME)
    assert (picture.width, picture.height) == shown
    decoded(picture)


@pytest.mark.parametrize("zone", [(0.0, 0.0, 0.0001, 0.0001), (0.9999, 0.9999, 1.0, 1.0)])
def test_smallest_zone_has_a_picture(zone: tuple[float, float, float, float]) -> None:
    assert decoded(ZonePicture(image(40, 30), zone)).shape == (1, 1, 3)


def test_boxes_are_fractions_of_the_picture() -> None:
    picture = ZonePicture(image(400, 200), (0.25, 0.5, 0.75, 1.0))
    assert picture.locate(np.array([150, 120, 200, 150])) == (0.25, 0.2, 0.5, 0.5)
    assert picture.locate(np.array([0, 0, 400, 400])) == (0.0, 0.0, 1.0, 1.0)


def test_hidden_face_is_grey_around_too() -> None:
    found = decoded(ZonePicture(image(400, 200), FULL_FRAME), np.array([100, 50, 200, 150]))
    around = found[25:175, 75:225].astype(int)  # a quarter of the face on each side
    assert np.abs(around - 96).mean() < 3
    assert abs(int(found[100, 300, 0]) - 191) < 12
    outside = decoded(ZonePicture(image(400, 200), FULL_FRAME), np.array([500, 300, 600, 400]))
    assert np.abs(outside.astype(int) - image(400, 200)).mean() < 4


def test_encoding_leaves_the_frame_unchanged() -> None:
    frame = image(400, 200)
    before = frame.copy()
    ZonePicture(frame, FULL_FRAME).encode([np.array([100, 50, 200, 150])])
    assert np.array_equal(frame, before)
