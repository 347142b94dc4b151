from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge.engine import open_engine
from edge.face.boxes import suppress_overlaps
from edge.face.detect import FULL_FRAME, FaceDetector, open_detector
from edge.values import Face


@pytest.mark.parametrize("size", ["640x480", "320x256"])
def test_finds_both_portraits(
    bundle_path: Path, size: str, collins: np.ndarray, hopper: np.ndarray
) -> None:
    models = {size: bundle_path / f"detector-{size}.onnx"}
    detector = open_detector(models, min_score=0.7, threads=1)
    for image in (collins, hopper):
        faces = detector.detect(image)
        assert len(faces) == 1 and faces[0].score > 0.9
        left_eye, right_eye, nose, left_mouth, right_mouth = faces[0].landmarks_xy
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]


def test_agrees_with_opencv(bundle_path: Path, detector: FaceDetector, hopper: np.ndarray) -> None:
    """The same network decoded by OpenCV, on a frame of the network's input size."""
    canvas = np.zeros((480, 640, 3), np.uint8)
    canvas[:, :409] = cv2.resize(hopper, (409, 480))
    theirs = cv2.FaceDetectorYN.create(
        str(bundle_path / "detector-640x480.onnx"), "", (640, 480), 0.7
    ).detect(canvas)[1]
    ours = detector.detect(canvas)
    assert len(ours) == len(theirs) == 1
    x, y, w, h = theirs[0][:4]
    assert np.allclose(ours[0].box_xyxy, (x, y, x + w, y + h), atol=0.5)
    assert np.allclose(ours[0].landmarks_xy.ravel(), theirs[0][4:14], atol=0.5)
    assert ours[0].score == pytest.approx(theirs[0][14], abs=1e-3)


def test_an_empty_scene_has_no_faces(detector: FaceDetector) -> None:
    assert detector.detect(np.full((480, 640, 3), 90, np.uint8)) == []


def test_weak_faces_are_only_for_the_tracker(bundle_path: Path, collins: np.ndarray) -> None:
    """`search` and `find_at` report faces below the minimum score, `detect` does not."""
    engine = open_engine(bundle_path / "detector-320x256.onnx", threads=1)
    detector = FaceDetector({"320x256": engine}, 0.99, weak_score=0.5)
    (weak,) = detector.search(collins)
    assert 0.5 < weak.score < 0.99
    assert detector.find_at(collins, weak.box_xyxy) is not None
    assert detector.detect(collins) == []


def test_coordinates_are_those_of_the_frame(detector: FaceDetector, collins: np.ndarray) -> None:
    once = detector.detect(collins)[0]
    twice = detector.detect(cv2.resize(collins, None, fx=2, fy=2))[0]
    assert np.allclose(twice.box_xyxy / 2, once.box_xyxy, atol=6)


@given(
    arrays(np.float32, (12, 4), elements=st.floats(0, 50, width=32)),
    arrays(np.float32, 12, elements=st.floats(0, 1, width=32)),
)
def test_suppression_removes_overlapping_boxes(corners: np.ndarray, scores: np.ndarray) -> None:
    boxes = np.hstack(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:]) + 1]
    )

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        side = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
        common = float(side.prod())
        return common / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common)

    keep = suppress_overlaps(boxes, scores, 0.3)
    assert all(iou(boxes[a], boxes[b]) <= 0.301 for a in keep for b in keep if a != b)
    for i in set(range(12)) - set(keep):
        assert any(iou(boxes[i], boxes[k]) > 0.299 and scores[k] >= scores[i] for k in keep)


def test_zone_is_searched_by_a_smaller_network(bundle_path: Path, collins: np.ndarray) -> None:
    called: list[str] = []

    class Counted:
        def __init__(self, size: str) -> None:
            self._size, self._engine = (
                size,
                open_engine(bundle_path / f"detector-{size}.onnx", threads=1),
            )

        def run(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
            called.append(self._size)
            return self._engine.run(inputs)

    detector = FaceDetector({size: Counted(size) for size in ("640x480", "320x256")}, 0.7)
    street = np.full((1080, 1920, 3), 90, np.uint8)
    portrait = cv2.resize(collins, (200, 250), interpolation=cv2.INTER_AREA)
    street[300:550, 900:1100] = portrait
    street[300:550, 100:300] = portrait
    for zone, network, people in ((FULL_FRAME, "640x480", 2), ((0.4, 0.2, 0.6, 0.6), "320x256", 1)):
        called.clear()
        found = detector.search(street, 120, zone)
        assert called == [network] and len(found) == people
    exact = detector.refine(street, found[0]).landmarks_xy
    assert ((exact >= (900, 300)) & (exact <= (1100, 550))).all()


def test_face_cut_by_the_search_is_refined(bundle_path: Path, collins: np.ndarray) -> None:
    models = {size: bundle_path / f"detector-{size}.onnx" for size in ("640x480", "320x256")}
    detector = open_detector(models, min_score=0.7, threads=1)
    canvas = np.full((480, 640, 3), 90, np.uint8)
    (small,) = detector.detect(collins)
    x0, y0, x1, y1 = (int(v) for v in small.box_xyxy)
    margin = (y1 - y0) * 3 // 10
    near = collins[max(0, y0 - margin) : y1 + margin, x0 - margin : x1 + margin]
    canvas[:, 90 : 90 + 480 * near.shape[1] // near.shape[0]] = cv2.resize(
        near, (480 * near.shape[1] // near.shape[0], 480)
    )
    (complete,) = detector.search(canvas)
    middle = (complete.box_xyxy[:2] + complete.box_xyxy[2:]) / 2 / (640, 480)
    zone = (float(middle[0]) - 0.02, 0.0, 1.0, 1.0)  # the search begins within the face
    (cut,) = detector.search(canvas, 60, zone)
    assert complete.box_xyxy[0] < (zone[0] - 1 / 8) * 640
    sharp = detector.refine(canvas, cut)
    assert (
        np.abs(sharp.landmarks_xy - detector.find_at(canvas, complete.box_xyxy).landmarks_xy).max()
        < 0.05 * complete.width_px
    )  # type: ignore[union-attr]


def test_face_that_fills_the_image_is_found(detector: FaceDetector, collins: np.ndarray) -> None:
    (face,) = detector.detect(collins)
    x0, y0, x1, y1 = (int(v) for v in face.box_xyxy)
    filling = cv2.resize(collins[max(0, y0 - 10) : y1 + 10, max(0, x0 - 10) : x1 + 10], (480, 640))
    for zone in (FULL_FRAME, (0.4, 0.4, 0.6, 0.6)):
        assert any(detector.search(filling, 60, zone) for _ in range(2))


def test_close_search_is_exact(bundle_path: Path, collins: np.ndarray) -> None:
    engines = {
        size: open_engine(bundle_path / f"detector-{size}.onnx", threads=1)
        for size in ("640x480", "320x256")
    }
    both, fine = FaceDetector(engines, 0.7), FaceDetector({"640x480": engines["640x480"]}, 0.7)
    canvas = np.full((480, 640, 3), 90, np.uint8)
    portrait = cv2.resize(collins, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)[:400, :400]
    canvas[40 : 40 + portrait.shape[0], 150 : 150 + portrait.shape[1]] = portrait
    (exact,) = fine.search(canvas)
    (coarse,) = both.search(canvas, min_face_px=80)
    sharp = both.refine(canvas, coarse)

    def away(face: Face) -> float:
        return float(
            np.linalg.norm(face.landmarks_xy - exact.landmarks_xy, axis=1).mean() / exact.width_px
        )

    assert away(sharp) < 0.03 and away(sharp) < away(coarse)
    found = both.find_at(canvas, exact.box_xyxy + 12)
    assert found is not None and away(found) < 0.03
    assert both.find_at(canvas, np.array([500, 300, 620, 460], np.float32)) is None
    outside = np.array([700, 300, 790, 460], np.float32)  # its surroundings are outside the image
    assert both.find_at(canvas, outside) is None
    beyond = Face(outside, coarse.landmarks_xy, 0.9)
    assert both.refine(canvas, beyond) is beyond
