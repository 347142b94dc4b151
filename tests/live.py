"""Values and clients of the live view for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.access.policy import refused_decision, skipped_decision
from edge.access.reasons import Reason
from edge.face.detect import FULL_FRAME
from edge.live.client import LiveReader
from edge.live.protocol import LiveDoorAnswer, LiveStatistics
from edge.recogniser.live_faces import ShownFace
from edge.recogniser.live_server import LiveMessage, LiveScene
from edge.recogniser.loop_statistics import TimeHistogram
from edge.values import Decision, Face, FaceResult, Frame, Verdict, Zone
from tests.processes import TIMEOUT_S

SIZE = 640, 480


def make_statistics(faces: int = 0) -> LiveStatistics:
    """Return counters of a loop that has seen some faces."""
    return LiveStatistics(
        started=1.7e9,
        frames=9,
        dropped=1,
        faces=faces,
        decision_s=TimeHistogram().read(),
        answer_s=TimeHistogram().read(),
        engine="ort fp32",
        model="0123456789ab",
        subjects=2,
        templates=3,
        supported_templates=1000,
    )


def make_frame(number: int = 0, at: float = 100.0) -> Frame:
    """Return a frame of noise."""
    width, height = SIZE
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Frame(image, at, number)


def make_face(left: float, top: float = 100.0, width: float = 80.0) -> Face:
    """Return a face by its box in pixels."""
    box = np.array([left, top, left + width, top + 1.25 * width], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), 0.9)


def make_decision(
    reason: Reason = Reason.INSUFFICIENT_VOTES,
    verdict: Verdict = Verdict.PENDING,
    progress: float = 0.0,
) -> Decision:
    return Decision(verdict, reason, None, 0.5, 0.0, 1, 100.0, progress)


def make_result(track: int, decision: Decision, face: Face | None = None) -> FaceResult:
    return FaceResult(face or make_face(200), track, None, None, decision)


def make_shown(
    track: int, face: Face, reason: Reason = Reason.INSUFFICIENT_VOTES, progress: float = 0.0
) -> ShownFace:
    return ShownFace(track, face, make_decision(reason), progress, 100.0, 100.0)


def make_scene(
    frame: Frame | None,
    faces: tuple[ShownFace, ...] = (),
    *,
    zone: Zone = FULL_FRAME,
    answer: LiveDoorAnswer | None = None,
) -> LiveScene:
    number = -1 if frame is None else frame.number
    return LiveScene(100.0, 1.7e9, number, "ready", frame, zone, faces, answer)


def make_message(scene: LiveScene) -> LiveMessage:
    return LiveMessage(scene, make_statistics)


def refused(reason: Reason) -> Decision:
    return refused_decision(reason, 100.0)


def skipped() -> Decision:
    return skipped_decision(100.0)


@contextmanager
def live_reader(path: Path) -> Iterator[LiveReader]:
    """Connect to a live socket with the patience of a test."""
    reader = LiveReader(path, timeout_s=TIMEOUT_S)
    try:
        yield reader
    finally:
        reader.close()
