from __future__ import annotations

import numpy as np
import pytest

from edge.face.track import Tracker
from edge.values import Face, Probe

ADA, EVE, IDA = np.eye(3, 8, dtype=np.float32)


def face(x: float, y: float = 100.0, width: float = 80.0, score: float = 0.9) -> Face:
    box = np.array([x, y, x + width, y + width * 1.2], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), score)


def probe(embedding: np.ndarray, mask_worn: float = 0.0) -> Probe:
    return Probe(embedding, np.zeros((3, 14, 14), np.float32), mask_worn, 1.0)


def numbers(tracker: Tracker, faces: list[Face], at: float) -> list[int]:
    return [track.number for track in tracker.update(faces, at)]


@pytest.mark.parametrize("fps", [3, 10, 30])
def test_tracks_of_walking_people_persist(fps: int) -> None:
    tracker = Tracker(0.4)
    for i in range(2 * fps):
        t = i / fps
        walking, waiting = face(100 + 80 * t), face(400 - 60 * t, 200, 60)
        assert numbers(tracker, [walking, waiting] if i % 2 else [waiting, walking], t) == (
            [2, 1] if i % 2 else [1, 2]
        )


def test_track_ends_after_a_second() -> None:
    tracker = Tracker(0.4)
    assert numbers(tracker, [face(100)], 0.0) == [1]
    assert numbers(tracker, [], 0.5) == [] and numbers(tracker, [face(105)], 0.9) == [1]
    assert numbers(tracker, [face(105)], 2.0) == [2] and tracker.numbers == [2]


def test_track_far_face_begins_a_new_track() -> None:
    tracker = Tracker(0.4)
    assert numbers(tracker, [face(100)], 0.0) == [1]
    assert numbers(tracker, [face(400)], 0.1) == [2]
    assert numbers(tracker, [face(100, width=200)], 0.2) == [
        3
    ]  # at the same place, of another size


def test_track_of_another_person_is_split() -> None:
    tracker = Tracker(0.4)
    (track,) = tracker.update([face(100)], 0.0)
    assert tracker.reassign([(track, probe(ADA))], 0.0) == [track]
    (same,) = tracker.update([face(102)], 0.1)
    (other,) = tracker.reassign([(same, probe(EVE))], 0.1)
    assert same is track and other.number == 2 and tracker.numbers == [2]
    assert numbers(tracker, [face(104)], 0.2) == [2]


def test_track_crossing_people_keep_numbers() -> None:
    tracker = Tracker(0.4)
    left, right = tracker.update([face(100), face(300)], 0.0)
    tracker.reassign([(left, probe(ADA)), (right, probe(EVE))], 0.0)
    swapped = tracker.update([face(100), face(300)], 0.1)
    found = tracker.reassign([(swapped[0], probe(EVE)), (swapped[1], probe(ADA))], 0.1)
    assert [track.number for track in found] == [2, 1]
    assert float(found[0].face.box_xyxy[0]) == 100


def test_track_person_elsewhere_keeps_the_number() -> None:
    tracker = Tracker(0.4)
    (track,) = tracker.update([face(100)], 0.0)
    tracker.reassign([(track, probe(ADA))], 0.0)
    (fresh,) = tracker.update([face(400)], 0.4)
    assert fresh.number == 2  # not embedded yet
    assert tracker.reassign([(fresh, probe(EVE))], 0.4) == [fresh]
    (again,) = tracker.update([face(402)], 0.6)
    assert [t.number for t in tracker.reassign([(again, probe(ADA))], 0.6)] == [1]


def test_the_mask_state_is_smoothed() -> None:
    tracker = Tracker(0.4)
    (track,) = tracker.update([face(100)], 0.0)
    for i in range(6):
        tracker.reassign([(track, probe(ADA))], i / 10)
    tracker.reassign([(track, probe(ADA, 1.0))], 0.6)
    assert 0.1 < track.mask_worn < 0.5
    for i in range(20):
        tracker.reassign([(track, probe(ADA, 1.0))], 0.7 + i / 10)
    assert track.mask_worn > 0.95


def test_numbers_are_never_used_again() -> None:
    tracker = Tracker(0.4)
    seen = [numbers(tracker, [face(100)], 3.0 * i)[0] for i in range(5)]
    assert seen == [1, 2, 3, 4, 5]


def test_weak_face_starts_no_track() -> None:
    assert Tracker(0.4).select_faces([face(100, score=0.5)], 0.0, 0.7) == []


def test_weak_face_continues_its_track() -> None:
    tracker = Tracker(0.4)
    tracker.update([face(100)], 0.0)
    near, far = face(104, score=0.5), face(150, score=0.6)
    assert tracker.select_faces([far, near], 0.1, 0.7) == [near]
    assert numbers(tracker, [near], 0.1) == [1]


def test_weak_face_yields_to_a_strong_one() -> None:
    tracker = Tracker(0.4)
    tracker.update([face(100)], 0.0)
    strong, weak = face(108), face(100, score=0.6)
    assert tracker.select_faces([weak, strong], 0.1, 0.7) == [strong]


def test_weak_faces_continue_a_track_once() -> None:
    tracker = Tracker(0.4)
    tracker.update([face(100)], 0.0)
    better, worse = face(108, score=0.6), face(100, score=0.5)
    assert tracker.select_faces([worse, better], 0.1, 0.7) == [better]


def test_weak_face_after_a_lost_track_is_ignored() -> None:
    tracker = Tracker(0.4)
    tracker.update([face(100)], 0.0)
    assert tracker.select_faces([face(100, score=0.6)], 1.1, 0.7) == []
