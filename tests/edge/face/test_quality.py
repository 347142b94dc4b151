from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge import masks
from edge.chip import REFERENCE_XY, align
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.face.quality import (
    ENROLLMENT_GATE,
    RECOGNITION_GATE,
    estimate_pose,
    measure_quality,
    measure_visibility,
)
from edge.values import Face, Quality

GOOD = Quality(90, 90, 90, 90, 90, 100)


def turned(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """Return the reference points of a turned head in orthographic projection."""
    apart = REFERENCE_XY[1, 0] - REFERENCE_XY[0, 0]
    points = np.column_stack(
        [REFERENCE_XY - REFERENCE_XY.mean(axis=0), np.array([0, 0, 0.5, 0.12, 0.12]) * apart]
    )
    y, p = np.radians([yaw, pitch])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    return (points @ about_y.T @ about_x.T)[:, :2] * 2 + 200


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (20, 0), (-35, 0), (0, 15), (0, -20)])
def test_the_pose_of_a_turned_head(yaw: float, pitch: float) -> None:
    found = estimate_pose(turned(yaw, pitch))
    assert abs(found.yaw - yaw) < 3 and abs(found.pitch - pitch) < 3 and abs(found.roll) < 3


def test_quality_refusal_names_the_component(collins: np.ndarray, detector: FaceDetector) -> None:
    face = detector.detect(collins)[0]
    chip = align(collins, face.landmarks_xy)

    def refusal(
        chip: np.ndarray, face: Face = face, shape: tuple[int, ...] = collins.shape
    ) -> str | None:
        return RECOGNITION_GATE.find_refusal(
            measure_quality(face, chip.astype(np.uint8), shape, estimate_pose(face.landmarks_xy))
        )

    assert (
        refusal(chip) is None
        and ENROLLMENT_GATE.find_refusal(
            measure_quality(face, chip, collins.shape, estimate_pose(face.landmarks_xy))
        )
        is None
    )
    assert refusal(chip * 0.1) == "too-dark"
    assert refusal(np.clip(chip * 4.0, 0, 255)) == "too-bright"
    assert refusal(cv2.GaussianBlur(chip, (0, 0), 5)) == "blurred"
    assert refusal(chip, shape=(int(face.box_xyxy[1] + 60), 512, 3)) == "off-centre"
    small = Face(face.box_xyxy / 6, face.landmarks_xy / 6, 0.9)
    assert refusal(chip, small) == "too-far"
    sideways = Face(face.box_xyxy, turned(55).astype(np.float32), 0.9)
    assert refusal(chip, sideways) == "turned-away"


def test_vote_weight_is_the_worst_component() -> None:
    assert GOOD.weight == 0.9 and Quality(90, 20, 90, 90, 90, 100).weight == 0.2


def test_visibility_follows_hidden_parts(collins_chip: np.ndarray, embedder: Embedder) -> None:
    worn = masks.draw_protocol(collins_chip, "someone")[0]
    bare, masked, nothing = (
        measure_visibility(p)
        for p in embedder.embed(np.stack([collins_chip, worn, np.full_like(worn, 120)]))
    )
    assert (
        bare.eyes_visible > 80
        and bare.mouth_occlusion_prevention > 50
        and bare.attention_on_face > RECOGNITION_GATE.attention_on_face + 20
    )
    assert (
        masked.eyes_visible > 60
        and masked.mouth_occlusion_prevention < 20
        and masked.attention_on_face > RECOGNITION_GATE.attention_on_face + 20
    )
    assert (
        nothing.attention_on_face < RECOGNITION_GATE.attention_on_face - 5
        and RECOGNITION_GATE.find_refusal(nothing)
        in (
            "eyes-hidden",
            "attention-off-face",
        )
    )


def test_enrollment_asks_for_more() -> None:
    assert RECOGNITION_GATE.find_refusal(Quality(30, 40, 30, 30, 30, 90)) is None
    assert ENROLLMENT_GATE.find_refusal(Quality(30, 90, 90, 90, 90, 100)) == "too-far"
