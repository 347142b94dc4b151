from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from edge.chip import REFERENCE_XY
from edge.errors import PhotoError
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.face.quality import MESSAGES, estimate_pose, measure_quality
from edge.gallery.enrollment.capture_session import capture_samples, required_hint
from edge.gallery.enrollment.photos import PhotoFace, QualityRequirements
from edge.gallery.enrollment.pose_guide import (
    COME_CLOSER,
    FRONTAL_ONLY,
    POSES,
    PoseGuide,
    SteadyHint,
    hint_for_error,
)
from edge.values import Face, Frame, Pose

REQUIREMENTS = QualityRequirements("standard", 60)


def follow(pose: Pose, hint: str) -> Pose:
    """Turn the head by two degrees as the hint says: yaw is positive to the person's left."""
    yaw, pitch = pose.yaw, pose.pitch
    if "your left" in hint:
        yaw += 2
    elif "your right" in hint:
        yaw -= 2
    elif "lower" in hint:
        pitch += 2
    elif "lift" in hint:
        pitch -= 2
    return Pose(yaw, pitch, 0)


@pytest.mark.parametrize(
    "offset", [Pose(0, 0, 0), Pose(6, 12, 0), Pose(-8, -10, 0), Pose(20, 0, 0)]
)
def test_guide_followed_hints_capture_all_poses(offset: Pose) -> None:
    """Poses are measured from the person's own straight pose: a camera may hang high or aside."""
    guide, pose, at, kept = PoseGuide(began_at=0), offset, 0.0, {}
    while guide.target is not None:
        at += 0.1
        guide.expire(at)
        hint = guide.hint(pose, at)
        if hint is None:
            kept[guide.target.name] = pose
            guide.accept(pose, at)
        else:
            pose = follow(pose, hint)
    assert guide.captured == [aim.name for aim in POSES] and not guide.missed
    straight = kept["straight"]
    assert kept["left"].yaw - straight.yaw >= 10 and kept["right"].yaw - straight.yaw <= -10
    assert kept["up"].pitch - straight.pitch <= -7 and kept["down"].pitch - straight.pitch >= 7


def test_guide_left_is_the_persons_own() -> None:
    """In the picture, the nose of a person who turns to their left moves to the right."""
    guide = PoseGuide(began_at=0)
    guide.accept(Pose(0, 0, 0), 0)
    seen = []
    for moved in (-5, 0, 5):  # pixels of the chip
        points = REFERENCE_XY.copy()
        points[2, 0] += moved
        seen.append(guide.hint(estimate_pose(points), 1))
    assert seen == ["turn your head a little to your left"] * 2 + [None]
    assert guide.hint(Pose(30, 0, 0), 1) == "turn a little to your right"


def test_guide_captured_poses_are_apart() -> None:
    guide = PoseGuide(FRONTAL_ONLY, began_at=0)
    kept = []
    for frame in range(40):
        if guide.target is not None and guide.hint(Pose(0, 0, 0), frame / 20) is None:
            guide.accept(Pose(0, 0, 0), frame / 20)
            kept.append(frame / 20)
    assert len(kept) == 3 and min(np.diff(kept)) >= 0.7


def test_guide_missed_pose_skipped_if_turned() -> None:
    guide = PoseGuide(began_at=0, pose_s=10, total_s=60)
    guide.accept(Pose(0, 0, 0), 1)
    guide.expire(10.9)
    assert guide.target is not None and guide.target.name == "left"
    for at in (11, 21, 31, 41):
        guide.expire(at)
    assert guide.missed == ["left", "right", "up", "down"]
    with pytest.raises(PhotoError, match="1 of 6 poses were") as caught:
        guide.expire(51)
    assert caught.value.reason == "no-pose"


def test_guide_total_time_up_raises() -> None:
    guide = PoseGuide(began_at=0, pose_s=10, total_s=15)
    guide.accept(Pose(0, 0, 0), 9)
    with pytest.raises(PhotoError, match="not captured"):
        guide.expire(15)


def test_guide_every_reason_has_a_hint() -> None:
    for reason in (
        "no-face",
        "several-faces",
        "too-small",
        "mask-worn",
        *(code for code, _ in MESSAGES.values()),
    ):
        assert hint_for_error(PhotoError(reason, "")).strip()


def frames(*parts: tuple[np.ndarray, int], fps: float = 10.0) -> Iterator[Frame]:
    images = [image for image, count in parts for _ in range(count)]
    yield from (Frame(image, number / fps, number) for number, image in enumerate(images))


def test_capture_hints_until_samples_are_taken(
    detector: FaceDetector, embedder: Embedder, collins: np.ndarray
) -> None:
    hints: list[str] = []
    guide = PoseGuide(FRONTAL_ONLY, began_at=0)
    empty, dark = np.full((480, 640, 3), 90, np.uint8), (collins * 0.12).astype(np.uint8)
    shown = frames((empty, 6), (np.hstack([collins, collins]), 6), (dark, 6), (collins, 60))
    taken = list(capture_samples(shown, guide, detector, embedder, REQUIREMENTS, hints.append))
    assert [one.name for one in taken] == ["first", "second", "third"] and guide.is_done
    assert list(dict.fromkeys(hints)) == [
        "step in front of the camera",
        "one person at a time, please",
        "more light is needed",
        "look straight at the camera",
    ]


def test_capture_without_person_raises_no_pose(detector: FaceDetector, embedder: Embedder) -> None:
    empty = np.full((120, 160, 3), 90, np.uint8)
    for count in (20, 2):  # the time is up; the recording ends earlier
        guide = PoseGuide(began_at=0)
        with pytest.raises(PhotoError, match="0 of 6 poses") as caught:
            list(
                capture_samples(
                    frames((empty, count), fps=1.0),
                    guide,
                    detector,
                    embedder,
                    REQUIREMENTS,
                    lambda words: None,
                )
            )
        assert caught.value.reason == "no-pose"


_EYES = float(REFERENCE_XY[1, 0] - REFERENCE_XY[0, 0])
_DEPTH = np.array([0.0, 0.0, 0.5, 0.12, 0.12]) * _EYES  # of the points, towards the camera


def turned(eyes_px: float, yaw: float, chip: np.ndarray) -> PhotoFace:
    """Return a head with this frontal eye distance, turned to the person's left."""
    middle = REFERENCE_XY.mean(axis=0)
    x, y = ((REFERENCE_XY - middle) * eyes_px / _EYES).T
    angle, depth = np.radians(yaw), (_DEPTH - _DEPTH.mean()) * eyes_px / _EYES
    points = np.column_stack([x * np.cos(angle) + depth * np.sin(angle), y]) + 320
    width = 2.2 * eyes_px * np.cos(angle)
    box = np.array([320 - width / 2, 250, 320 + width / 2, 250 + 2.8 * eyes_px], np.float32)
    face = Face(box, points.astype(np.float32), 0.9)
    pose = estimate_pose(face.landmarks_xy)
    apart = float(np.linalg.norm(points[1] - points[0]))
    measured = measure_quality(face, chip, (640, 640, 3), pose)
    return PhotoFace("look", chip, face.width_px, apart, pose, measured)


def follow_hints(guide: PoseGuide, chip: np.ndarray, eyes_px: float, noise_px: float) -> list[str]:
    """Return the hints to a person who turns the head as requested, at ten frames per second."""
    random, yaw, hints, steady = np.random.default_rng(0), 0.0, [], SteadyHint()
    for frame in range(400):
        if guide.target is None or guide.target.name == "up":
            break
        at = frame / 10
        look = turned(eyes_px + random.uniform(-noise_px, noise_px), yaw, chip)
        hint = required_hint(guide, look, at, REQUIREMENTS)
        if hint is None:
            guide.accept(look.pose, at)
            steady = SteadyHint()
            continue
        hints.append(steady.update(hint, at))
        yaw += 1.5 if "your left" in hint else -1.5 if "your right" in hint else 0
    return hints


def test_guide_turned_head_is_not_too_far(collins_chip: np.ndarray) -> None:
    """Eyes 35 pixels apart are near enough.

    At 20 degrees they look 33 apart, less than required.
    """
    assert turned(35, 20, collins_chip).eye_distance_px < 34
    guide = PoseGuide(began_at=0)
    assert COME_CLOSER not in follow_hints(guide, collins_chip, 35, 0.5)
    assert guide.captured == ["straight", "left", "right"]


def test_guide_at_size_limit_does_not_flip(collins_chip: np.ndarray) -> None:
    """The measured size goes up and down around the limit."""
    guide = PoseGuide(began_at=0)
    hints = follow_hints(guide, collins_chip, 34, 1.5)
    changes = [after for before, after in pairwise(hints) if after != before]
    assert changes.count(COME_CLOSER) == 0 and guide.captured == ["straight", "left", "right"]


def test_guide_too_far_hint_until_near(collins_chip: np.ndarray) -> None:
    guide = PoseGuide(began_at=0)
    hints = [
        required_hint(guide, turned(px, 0, collins_chip), n, REQUIREMENTS)
        for n, px in enumerate((25, 33, 35, 32, 30, 32))
    ]
    assert hints == [COME_CLOSER, COME_CLOSER, None, None, COME_CLOSER, COME_CLOSER]


def test_hint_that_does_not_last_is_not_shown() -> None:
    steady = SteadyHint(steady_s=0.4)
    shown = [steady.update("ab"[n % 2], n / 10) for n in range(10)]
    assert shown == ["a"] * 10
    assert [steady.update("b", 1 + n / 10) for n in range(6)] == ["a"] * 3 + ["b"] * 3
