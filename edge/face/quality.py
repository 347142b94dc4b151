"""Face quality by component, named as in ISO/IEC 29794-5:2025, on its scale of 0 to 100.

The measures are simpler and faster than those of the standard; their values are not comparable.
Visibility comes from the attention maps and the expected similarity, so it is known only after
embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.access.reasons import Reason
from edge.chip import REFERENCE_XY
from edge.values import Face, Pose, Probe, Quality, Visibility

# A frontal face in units of the chip: x right, y down, z towards the camera. The reference points
# of alignment, with average depths: the nose tip half the eye distance before the eyes.
_EYES_APART = float(REFERENCE_XY[1, 0] - REFERENCE_XY[0, 0])
_MODEL_XYZ = np.column_stack([REFERENCE_XY, np.array([0.0, 0.0, 0.5, 0.12, 0.12]) * _EYES_APART])
_MODEL_XYZ -= _MODEL_XYZ.mean(axis=0)
_MODEL_INVERSE = np.linalg.pinv(_MODEL_XYZ)

# Rows and columns of the chip from brow to cheek: skin with and without a mask.
_UPPER = (slice(32, 72), slice(20, 92))
_ABOVE, _BELOW = np.s_[:-1], np.s_[1:]
_LEFT, _RIGHT = np.s_[:, :-1], np.s_[:, 1:]
_ASPECT = 0.75  # width to height of the detector's boxes
_EYES_PX = (10.0, 70.0)  # eye distances with the values 0 and 100
# Cells of the 14x14 maps, 8 pixels each.
_EYE_CELLS = (slice(5, 8), slice(3, 11))
_MOUTH_CELLS = (slice(10, 13), slice(4, 10))


def estimate_pose(landmarks_xy: NDArray[np.floating]) -> Pose:
    """Estimate the pose from five landmarks (5,2); accurate to about ten degrees.

    Scaled orthographic projection: the first step of D. DeMenthon, L. Davis, "Model-based object
    pose in 25 lines of code", IJCV 1995. Zero is the pose of the chip's reference points.
    """
    points = np.asarray(landmarks_xy, np.float64)
    # The first two rows of the rotation, not yet of length one.
    across = (_MODEL_INVERSE @ (points - points.mean(axis=0))).T.tolist()
    yaw, pitch = (
        math.asin(max(-1.0, min(1.0, row[2] / (math.hypot(*row) or 1.0)))) for row in across
    )
    roll = math.atan2(points[1, 1] - points[0, 1], points[1, 0] - points[0, 0])
    return Pose(*(round(math.degrees(angle), 1) for angle in (yaw, pitch, roll)))


# By component: the reason if it is too low, and the prompt to a person at the camera.
MESSAGES = {
    "inter_eye_distance": (Reason.TOO_FAR, "come closer"),
    "face_inside_image": (Reason.OFF_CENTRE, "step into the middle"),
    "head_pose": (Reason.TURNED_AWAY, "look at the camera"),
    "under_exposure_prevention": (Reason.TOO_DARK, "more light is needed"),
    "over_exposure_prevention": (Reason.TOO_BRIGHT, "there is too much light"),
    "sharpness": (Reason.BLURRED, "hold still"),
    "eyes_visible": (Reason.EYES_HIDDEN, "uncover your eyes"),
    "attention_on_face": (
        Reason.ATTENTION_OFF_FACE,
        "the network looked at mask and background, not at the face",
    ),
    "recognisability": (Reason.FACE_HIDDEN, "uncover your face"),
}


def prompt_for(reason: str) -> str:
    """Return the prompt for a reason of `MESSAGES`."""
    return next(message for code, message in MESSAGES.values() if code == reason)


def component_of(reason: str) -> str:
    """Return the component of a reason of `MESSAGES`."""
    return next(name for name, (code, _) in MESSAGES.items() if code == reason)


@dataclass(frozen=True, slots=True)
class QualityGate:
    """Minimum of each component for one use."""

    inter_eye_distance: float
    head_pose: float
    sharpness: float
    under_exposure_prevention: float
    over_exposure_prevention: float
    face_inside_image: float
    eyes_visible: float
    attention_on_face: float
    recognisability: float

    def find_refusal(self, found: Quality | Visibility) -> Reason | None:
        """Return the reason of the first component that is too low, None if there is none."""
        for name, (reason, _) in MESSAGES.items():
            value = getattr(found, name, None)
            if value is not None and value < getattr(self, name):
                return reason
        return None


# The minimum of `recognisability` at recognition is measured for each model: policy.is_face_hidden.
RECOGNITION_GATE = QualityGate(20, 25, 15, 15, 15, 85, 20, 45, recognisability=0)
ENROLLMENT_GATE = QualityGate(40, 60, 35, 40, 40, 98, 60, 50, recognisability=60)


def measure_quality(
    face: Face, chip: NDArray[np.uint8], frame_shape: tuple[int, ...], pose: Pose
) -> Quality:
    """Measure one face in a frame of shape (H,W,3), with its chip (112,112,3) uint8 BGR."""
    grey = cv2.cvtColor(chip[_UPPER], cv2.COLOR_BGR2GRAY)
    eyes_px = math.dist(face.landmarks_xy[0].tolist(), face.landmarks_xy[1].tolist())
    return Quality(
        inter_eye_distance=_ramp(eyes_px, *_EYES_PX),
        head_pose=_ramp(math.hypot(pose.yaw, pose.pitch) + abs(pose.roll) / 2, 60, 5),
        sharpness=_ramp(_blur(np.asarray(grey, np.uint8)), 0.85, 0.5),
        under_exposure_prevention=_ramp(float(grey.mean()), 20, 90),
        over_exposure_prevention=_ramp(np.count_nonzero(grey > 245) / grey.size, 0.5, 0.0),
        face_inside_image=_ramp(_share_inside(face, frame_shape), 0.0, 1.0),
    )


def _blur(grey: NDArray[np.uint8]) -> float:
    """Return the blur of an image (H,W), 0 (sharp) to 1, in the worse of two directions.

    F. Crété-Roffet et al., "The blur effect: perception and estimation with a new no-reference
    perceptual blur metric", SPIE 2007, after a light smoothing against noise. Sharp photos of
    faces: 0.45 to 0.67. Blurred by a Gaussian of 3 pixels of the chip, or moved by 17: 0.75 to
    0.86.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    kept = []
    for before, after, window in ((_ABOVE, _BELOW, (1, 9)), (_LEFT, _RIGHT, (9, 1))):
        blurred = cv2.blur(smooth, window)
        change = cv2.absdiff(smooth[after], smooth[before])
        lost = np.maximum(change - cv2.absdiff(blurred[after], blurred[before]), 0)
        kept.append(1 - float(lost.sum()) / max(1e-6, float(change.sum())))
    return max(kept)


def eye_distance_px(inter_eye_distance: float) -> float:
    """Return the eye distance in pixels at which the component has a value."""
    worst, best = _EYES_PX
    return worst + (best - worst) * inter_eye_distance / 100


def measure_visibility(probe: Probe) -> Visibility:
    """Measure how visible eyes and mouth are, the attention on the face and the recognisability.

    A decision whose attention is on mask or background is not based on the face.
    """
    unmasked, hidden, background = probe.attention
    elsewhere = float(
        (unmasked * np.maximum(hidden, background)).sum() / max(1e-6, float(unmasked.sum()))
    )
    return Visibility(
        eyes_visible=_ramp(float(hidden[_EYE_CELLS].mean()), 1.0, 0.0),
        mouth_occlusion_prevention=_ramp(float(hidden[_MOUTH_CELLS].mean()), 1.0, 0.0),
        attention_on_face=_ramp(elsewhere, 1.0, 0.0),
        recognisability=_ramp(probe.expected_similarity, 0.0, 1.0),
    )


def _share_inside(face: Face, frame_shape: tuple[int, ...]) -> float:
    """Return the share of the face's area inside the frame, 0..1.

    The detector clips boxes at the border of the frame: a box that touches it is extended to the
    usual ratio of width to height.
    """
    height, width = frame_shape[:2]
    x0, y0, x1, y1 = face.box_xyxy.tolist()
    shown_x, shown_y = min(x1, width) - max(x0, 0.0), min(y1, height) - max(y0, 0.0)
    whole_x, whole_y = x1 - x0, y1 - y0
    if x0 <= 1 or x1 >= width - 1:
        whole_x = max(whole_x, _ASPECT * shown_y)
    if y0 <= 1 or y1 >= height - 1:
        whole_y = max(whole_y, shown_x / _ASPECT)
    return float(max(0.0, shown_x) * max(0.0, shown_y) / max(1e-6, whole_x * whole_y))


def _ramp(value: float, worst: float, best: float) -> float:
    """Scale a value linearly to 0 at `worst` and 100 at `best`, clipped."""
    return round(100 * min(1.0, max(0.0, (value - worst) / (best - worst))), 1)
