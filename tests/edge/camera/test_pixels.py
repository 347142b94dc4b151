"""Conversion of camera frames: every layout becomes BGR or is refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.camera.pixels import orient, to_bgr
from edge.errors import CameraError, EngineError
from edge.face.detect import FaceDetector

BGR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GREY = BGR[..., 0]


@pytest.mark.parametrize(
    ("delivered", "expected"),
    [
        (BGR, BGR),
        (np.dstack([BGR, GREY]), BGR),
        (GREY, np.dstack([GREY] * 3)),
        (GREY[..., None], np.dstack([GREY] * 3)),
        (GREY.astype(np.uint16) * 257, np.dstack([GREY] * 3)),
        (BGR.astype(np.uint16) * 257, BGR),
        (BGR[::2, ::-1], BGR[::2, ::-1]),
    ],
    ids=["bgr", "bgrx", "grey", "grey-axis", "grey-16", "bgr-16", "strided"],
)
def test_layout_known_becomes_bgr(delivered: np.ndarray, expected: np.ndarray) -> None:
    image = to_bgr(delivered, "0")
    assert image.dtype == np.uint8 and np.array_equal(image, expected)


@pytest.mark.parametrize(
    "delivered",
    [
        BGR.astype(np.float32),
        BGR.astype(np.int16),
        BGR > 9,
        BGR[..., :2],
        BGR[None],
        BGR[:0],
        BGR[:, :0],
        np.zeros((5, 8193, 3), np.uint8),
        np.zeros(0, np.uint8),
        np.zeros((1, 5000), np.uint8)[0],
        np.uint8(3),
        None,
    ],
)
def test_layout_unknown_is_refused(delivered: np.ndarray) -> None:
    with pytest.raises(CameraError, match=r"camera 0 delivers frames of shape \(.*expected BGR"):
        to_bgr(delivered, "0")


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_rotation_is_clockwise(rotate: int) -> None:
    assert np.array_equal(orient(BGR, rotate, mirror=False), np.rot90(BGR, -rotate // 90))
    assert np.array_equal(orient(BGR, rotate, mirror=True), np.rot90(BGR, -rotate // 90)[:, ::-1])


@pytest.mark.parametrize("size", [None, (640, 480)])
def test_detector_grey_never_shows_last_face(
    detector: FaceDetector, collins: np.ndarray, size: tuple[int, int] | None
) -> None:
    shown = cv2.resize(collins, size) if size else collins
    assert len(detector.detect(shown)) == 1
    height, width = shown.shape[:2]
    for empty in (
        np.full((height, width), 127, np.uint8),
        np.full((height, width, 4), 127, np.uint8),
        np.full((height, width, 3), 127, np.uint16),
        np.zeros((0, width, 3), np.uint8),
    ):
        with pytest.raises(EngineError, match="the detector expects pictures"):
            detector.detect(empty)
