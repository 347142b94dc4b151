"""Rate limiter for unknown faces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.access.rate_limit import UnknownFaceLimiter


def pass_by(attempts: UnknownFaceLimiter, track: int, at: float, *, known: bool = False) -> None:
    """Simulate a face that is unknown for a second and leaves; `known`: recognised at last."""
    for tenth in range(10):
        attempts.note_unknown(track, 1, at + tenth / 10)
    if known:
        attempts.note_known(track)
    attempts.retain_tracks([], at + 1.0)


def test_attempts_track_counts_once_when_it_ends() -> None:
    attempts = UnknownFaceLimiter(1)
    pass_by(attempts, 1, 0.0)
    for second in range(2, 50):
        attempts.note_unknown(2, 1, float(second))
        attempts.retain_tracks([2], float(second))
        assert not attempts.is_exceeded(float(second))
    attempts.retain_tracks([], 50.0)
    assert attempts.is_exceeded(50.0) and not attempts.is_exceeded(110.0)


def test_attempts_recognised_track_does_not_count() -> None:
    attempts = UnknownFaceLimiter(1)
    for track in range(20):
        pass_by(attempts, track, 2.0 * track, known=True)
        assert not attempts.is_exceeded(2.0 * track + 1)


def test_attempts_group_leaving_together_is_few() -> None:
    attempts = UnknownFaceLimiter(4)
    for track in range(32):
        attempts.note_unknown(track, 1, 1.0)
    attempts.retain_tracks([], 2.0)
    assert not attempts.is_exceeded(2.0)
    for track in range(32):
        attempts.note_unknown(100 + track, 1, 3.0)
    attempts.retain_tracks([], 4.0)
    assert attempts.is_exceeded(4.0)


def test_attempts_changed_face_counts_in_track() -> None:
    attempts = UnknownFaceLimiter(2)
    for second in range(100):
        attempts.note_unknown(1, second // 10, float(second))
        attempts.retain_tracks([1], float(second))
    assert attempts.is_exceeded(99.0)


def test_attempts_minutes_apart_never_close() -> None:
    attempts = UnknownFaceLimiter(1)
    for track in range(10):
        pass_by(attempts, track, 61.0 * track)
        assert not attempts.is_exceeded(61.0 * track + 1)


@given(times=st.lists(st.integers(0, 600), max_size=60, unique=True), limit=st.integers(1, 5))
def test_attempts_limit_in_a_minute_is_exact(times: list[int], limit: int) -> None:
    attempts = UnknownFaceLimiter(limit)
    ended: list[float] = []
    for track, at in enumerate(sorted(times)):
        attempts.note_unknown(track, 1, 2.0 * at)
        attempts.retain_tracks([], 2.0 * at)
        ended.append(2.0 * at)
        if sum(2.0 * at - other < 60 for other in ended) > limit:
            assert attempts.is_exceeded(2.0 * at)
    if len(times) <= limit:
        assert not any(attempts.is_exceeded(at) for at in ended)
