"""Faces of the live view over several frames."""

from __future__ import annotations

import pytest

from edge.access.reasons import Reason
from edge.recogniser.live_faces import LiveFaces, ShownFace
from edge.values import Verdict
from tests.live import make_decision, make_face, make_result, refused, skipped


def shown(faces: tuple[ShownFace, ...]) -> dict[int, tuple[str, float]]:
    return {one.track: (one.decision.reason.value, one.progress) for one in faces}


@pytest.fixture
def faces() -> LiveFaces:
    made = LiveFaces(search_interval_s=0.2)
    made.update([make_result(1, make_decision(progress=0.6))], 100.0)
    return made


def test_skipped_face_keeps_its_decision(faces: LiveFaces) -> None:
    moved = make_face(300)
    (one,) = faces.update([make_result(1, skipped(), moved)], 100.5)
    assert shown((one,)) == {1: ("insufficient-votes", 0.6)} and one.face is moved
    old = faces.update([make_result(1, skipped())], 101.6)
    assert shown(old) == {1: ("skipped", 0.0)}


def test_poor_frame_keeps_progress(faces: LiveFaces) -> None:
    assert shown(faces.update([make_result(1, refused(Reason.BLURRED))], 100.1)) == {
        1: ("blurred", 0.6)
    }


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.PENDING])
def test_other_decision_has_its_own_progress(faces: LiveFaces, verdict: Verdict) -> None:
    decision = make_decision(Reason.BELOW_THRESHOLD, verdict, progress=0.2)
    assert shown(faces.update([make_result(1, decision)], 100.1)) == {1: ("below-threshold", 0.2)}


def test_face_between_searches_stays_shown(faces: LiveFaces) -> None:
    assert shown(faces.update([], 100.45)) == {1: ("insufficient-votes", 0.6)}
    assert not faces.update([], 100.55)
    assert not faces.update([], 100.45)


def test_interval_of_searches_can_change(faces: LiveFaces) -> None:
    faces.update_interval(1.0)
    assert shown(faces.update([], 101.2))
