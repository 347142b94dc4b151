"""Parts of the detector's measurement that need no network and no data."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.detector_frames import FACE_PX, Room, erase_face
from benchmarks.detector_measures import FoundScore, WalkResult, false_in_clip
from benchmarks.detector_page import render_page
from edge.chip import SIZE
from edge.values import Face

CHIP = np.full((SIZE, SIZE, 3), 200, np.uint8)


def face(x: float, score: float) -> Face:
    box = np.array([x, 100, x + 50, 150], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), score)


def test_room_places_face_where_it_says() -> None:
    placed = Room().place(CHIP, 80, (300.0, 200.0))
    assert placed.box_xyxy is not None and placed.image.shape == (480, 640, 3)
    x0, y0, x1, y1 = placed.box_xyxy
    assert abs((x1 - x0) - 80) < 1 and x0 < 300 < x1 and y0 < 200 < y1
    assert placed.image[200, 300].min() > 150


def test_erased_face_has_no_features() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    erased = erase_face(image, np.array([24.0, 24, 88, 88]))
    assert erased[40:72, 40:72].std() < image[40:72, 40:72].std() / 4


def test_false_faces_are_far_from_people() -> None:
    frames = [[face(100, 0.9)], [face(110, 0.4), face(500, 0.5)], []]
    assert false_in_clip(frames, fps=15.0) == [[], [0.5], []]


def test_detector_page_has_all_tables() -> None:
    recall = {"bare": [FoundScore(0.9, 0.8, 0.75, 0.02, width) for width in FACE_PX]}
    walk = WalkResult((True, True), (False, True), 1, Counter({"too-small": 1}))
    page = render_page(recall, {"noise": [[0.35], []]}, {("bare", (0.7, 0.5)): [walk]})
    assert "| bare | full frame, 320x256 | 3 | 100.0% |" in page
    assert "| 0.7 to 0.8 | 3 | 2.0% | 2.0% |" in page
    assert "| noise | 2 | 500 | 0 |" in page
    assert "too-small 1" in page
