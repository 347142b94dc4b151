"""Two recognisers that see one person: at most one of them grants access."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.reasons import Reason
from edge.face.track import Track
from edge.recogniser.lane_faces import LaneFace, LaneFaceFiles
from edge.recogniser.lane_guard import LaneGuard, is_at_other_lane, lane_rank
from edge.values import Face, Probe

WIDTH = 640
MIN_FACE_PX = 60
EVERYWHERE = (0.0, 0.0, 1.0, 1.0)
MODEL, DIMENSION, THRESHOLD, COOLDOWN_S = "ab" * 32, 8, 0.6, 4.0
ADA, BEN = np.eye(2, DIMENSION, dtype=np.float32)


def face(x: float, width: float) -> Face:
    """Return a face by the middle and the width of its box."""
    box = np.array([x - width / 2, 50, x + width / 2, 50 + 1.2 * width], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), 0.9)


def lane_face(
    lane: str, rank: float, embedding: np.ndarray = ADA, subject: bytes = bytes(16)
) -> LaneFace:
    return LaneFace(lane, 10.0, rank, embedding, subject)


class LaneView:
    """Guard of a lane whose camera sees one track."""

    def __init__(self, folder: Path, name: str, embedding: np.ndarray = ADA) -> None:
        self.guard = LaneGuard(LaneFaceFiles(folder, name, MODEL, DIMENSION), COOLDOWN_S)
        self.embedding = embedding
        self._tracks: list[Track] = []

    def see(self, at: float, x: float, width: float) -> None:
        if not self._tracks:
            self._tracks = [Track(1, face(x, width), at)]
        (track,) = self._tracks
        track.update(face(x, width), at)
        maps = np.zeros((3, 14, 14), np.float32)
        if width >= MIN_FACE_PX:
            track.add_probe(Probe(self.embedding, maps, 0.0, 1.0), at, 0.4)
        self.publish(at)

    def publish(self, at: float) -> None:
        self.guard.publish(self._tracks, WIDTH, EVERYWHERE, at, min_face_px=MIN_FACE_PX)

    def leave(self) -> None:
        self._tracks = []

    def ask(self, at: float, subject: str = "Ada") -> Reason | None:
        return self.guard.find_hold(1, subject, THRESHOLD, at)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lanes"


@pytest.mark.parametrize(
    ("x", "width", "zone", "rank"),
    [
        (320, 64, EVERYWHERE, 0.1),
        (160, 64, EVERYWHERE, 0.05),
        (480, 64, EVERYWHERE, 0.05),
        (0, 64, EVERYWHERE, 0.0),
        (320, 64, (0.25, 0, 0.75, 1), 0.2),
        (170, 64, (0.3, 0, 0.7, 1), 0.0),  # outside the zone
    ],
)
def test_lane_rank_formula(
    x: float, width: float, zone: tuple[float, float, float, float], rank: float
) -> None:
    assert lane_rank(face(x, width), WIDTH, zone) == pytest.approx(rank)


def test_lane_rank_independent_of_resolution() -> None:
    assert lane_rank(face(100, 64), 640, EVERYWHERE) == pytest.approx(
        lane_rank(face(200, 128), 1280, EVERYWHERE)
    )


def test_guard_person_before_other_lane_is_held() -> None:
    own = lane_face("a", 0.1)
    assert is_at_other_lane(own, [lane_face("b", 0.2)], THRESHOLD)
    assert not is_at_other_lane(own, [lane_face("b", 0.05)], THRESHOLD)
    assert not is_at_other_lane(own, [lane_face("b", 0.2, BEN)], THRESHOLD)


def test_guard_same_subject_counts_as_same_person() -> None:
    own = lane_face("a", 0.1, ADA, b"s" * 16)
    assert is_at_other_lane(own, [lane_face("b", 0.2, BEN, b"s" * 16)], THRESHOLD)
    assert not is_at_other_lane(own, [lane_face("b", 0.2, BEN, b"t" * 16)], THRESHOLD)


@given(st.floats(0, 10), st.floats(0, 10))
def test_guard_exactly_one_of_two_lanes_wins(first: float, second: float) -> None:
    one, two = lane_face("a", first), lane_face("b", second)
    held = [is_at_other_lane(one, [two], THRESHOLD), is_at_other_lane(two, [one], THRESHOLD)]
    assert sorted(held) == [False, True]
    assert held[0] == (second > first)  # of equal ranks the first name


def test_guard_held_person_walks_on_to_the_lane(folder: Path) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, 120)
    right.see(1.0, 100, 80)
    assert right.ask(1.0) is Reason.OTHER_LANE
    for frame in range(10):  # over to the right lane
        left.see(1.1 + frame / 10, 600, 80)
        right.see(1.1 + frame / 10, 320, 120)
    assert left.ask(2.0) is Reason.OTHER_LANE and right.ask(2.0) is None


def test_guard_grant_holds_until_passed(folder: Path) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, 120)
    right.see(1.0, 100, 80)
    assert left.ask(1.0) is None
    left.leave()  # past the camera, but still in view of the other one
    answers = []
    for at in (1.4, 2.0, 2.9, 3.1):
        left.publish(at)
        right.see(at, 320, 120)
        answers.append(right.ask(at))
    assert answers == [Reason.OTHER_LANE] * 3 + [None]


def test_guard_grant_counts_at_most_the_cooldown(folder: Path) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, 120)
    assert left.ask(1.0) is None
    for at in np.arange(1.2, 1.0 + COOLDOWN_S, 0.2):
        left.see(at, 600, 80)
        right.see(at, 320, 120)
        assert right.ask(at) is Reason.OTHER_LANE
    left.see(5.1, 600, 80)
    right.see(5.1, 320, 120)
    assert right.ask(5.1) is None


def test_guard_revoked_grant_frees_other_lane(folder: Path) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, 120)
    assert left.ask(1.0) is None
    left.guard.revoke(1)
    left.leave()
    left.publish(1.1)
    right.see(1.2, 320, 120)
    assert right.ask(1.2) is None


def test_guard_grant_during_decision_holds(folder: Path) -> None:
    class LateFiles(LaneFaceFiles):
        """Files in which the other lane publishes a grant between check and grant."""

        meanwhile: LaneView | None = None

        def write(self, faces: list[LaneFace], at: float) -> None:  # type: ignore[override]
            if self.meanwhile is not None and any(face.has_grant for face in faces):
                other, self.meanwhile = self.meanwhile, None
                other.see(1.4, 320, 200)  # ahead by now
                assert other.ask(1.4) is None
            super().write(faces, at)

    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    files = LateFiles(folder, "right", MODEL, DIMENSION)
    right.guard = LaneGuard(files, COOLDOWN_S)
    left.see(1.0, 320, 80)
    right.see(1.0, 320, 120)
    files.meanwhile = left
    assert right.ask(1.0) is Reason.OTHER_LANE
    left.publish(1.4)
    assert right.ask(1.4) is Reason.OTHER_LANE  # the left lane published its grant first


@pytest.mark.parametrize("end", ["silence", "close"])
def test_guard_ended_lane_never_holds(folder: Path, end: str) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, 120)
    assert left.ask(1.0) is None
    if end == "close":
        left.guard.close()
    at = 1.1 if end == "close" else 1.6
    right.see(at, 320, 80)
    assert right.ask(at) is None


@pytest.mark.parametrize(("x", "holds"), [(320, False), (440, False), (470, True), (170, True)])
def test_guard_off_centre_face_is_held(folder: Path, x: float, holds: bool) -> None:
    """The other lane sees no one: its camera may not see the second person of a queue."""
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.publish(1.0)
    right.see(1.0, x, 120)
    assert (right.ask(1.0) is Reason.OTHER_LANE) is holds
    right.see(2.0, x, 120)
    assert right.ask(2.0) is None  # the other lane does not run any more


def test_guard_lane_counts_the_lower_rank(folder: Path) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, 100)
    for at in (1.0, 1.1, 1.2):
        right.see(at, 320, 60)
    right.see(1.25, 320, 110)  # larger for one frame
    assert right.ask(1.25) is Reason.OTHER_LANE


@pytest.mark.parametrize(("x", "holds"), [(300, False), (430, True)])
def test_guard_small_face_counts_as_the_person(folder: Path, x: float, holds: bool) -> None:
    left, right = LaneView(folder, "left"), LaneView(folder, "right")
    left.see(1.0, 320, MIN_FACE_PX - 5)
    right.see(1.0, x, MIN_FACE_PX + 10)
    assert (right.ask(1.0) is Reason.OTHER_LANE) is holds
