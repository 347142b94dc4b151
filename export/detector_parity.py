"""Compare the faces that a detector finds with those of the FP32 detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.bundle import ParityResult
from edge.face import boxes
from edge.face.detect import FaceDetector
from edge.values import Face, Precision

_MIN_IOU: dict[Precision, float] = {"fp32": 0.99, "fp16": 0.95, "int8": 0.85}


# As a share of the distance between the eyes.
_LANDMARK_ERROR: dict[Precision, float] = {"fp32": 0.005, "fp16": 0.02, "int8": 0.06}


def check_detector(
    detector: FaceDetector,
    scene: NDArray[np.uint8],
    expected: NDArray[np.float32],
    precision: Precision,
    *,
    judged: str,
    reference: str,
) -> ParityResult:
    """Compare a detector with the faces (N,15) of the FP32 detector; raises EngineError."""
    found = detect_faces(detector, scene)
    iou, error = -1.0, 1.0
    if found.shape == expected.shape and np.isfinite(found).all():
        iou = min(boxes.iou(a, b) for a, b in zip(found[:, :4], expected[:, :4], strict=True))
        points, wanted = found[:, 4:14].reshape(-1, 5, 2), expected[:, 4:14].reshape(-1, 5, 2)
        eyes = np.linalg.norm(wanted[:, 0] - wanted[:, 1], axis=1)
        error = float((np.linalg.norm(points - wanted, axis=2).max(axis=1) / eyes).max())
    if iou == -1.0:
        reason = f"expected {len(expected)} faces in the scene, found {len(found)}"
    elif iou < _MIN_IOU[precision] or error > _LANDMARK_ERROR[precision]:
        reason = (
            f"boxes overlap by {iou:.3f}, landmarks are off by {error:.1%} of the distance "
            "between the eyes"
        )
    else:
        reason = ""
    figures = {"min_iou": iou, "min_iou_bound": _MIN_IOU[precision], "landmark_error": error}
    figures["landmark_error_bound"] = _LANDMARK_ERROR[precision]
    return ParityResult(
        passed=not reason,
        reason=reason,
        judged=judged,
        reference=reference,
        samples=len(expected),
        figures=figures,
    )


def detect_faces(detector: FaceDetector, scene: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return box, landmarks and score (N,15) of each face, left to right; raises EngineError."""
    faces = sorted(detector.detect(scene), key=lambda face: float(face.box_xyxy[0]))
    return np.array([_row(face) for face in faces], np.float32).reshape(-1, 15)


def _row(face: Face) -> NDArray[np.float32]:
    return np.concatenate([face.box_xyxy, face.landmarks_xy.ravel(), [face.score]]).astype(
        np.float32
    )
