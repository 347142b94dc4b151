"""Times of exposure: no frame older than the limit counts as new, with any buffering."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import pytest

from edge.camera.timing import DeviceTimes, FrameTimes, PaceTimes, StreamTimes

LIMIT_S = 1.0
HIDDEN_S = 0.35  # delay that arrival times do not show


@dataclass(frozen=True)
class Read:
    exposed_at: float
    read_at: float
    dated: float | None

    @property
    def is_wrong(self) -> bool:
        """True if a frame that is too old passed as new, or has a time after its reading."""
        if self.dated is None:
            return False
        return self.read_at - self.exposed_at > LIMIT_S + HIDDEN_S or self.dated > self.read_at


def play(
    times: FrameTimes,
    *,
    rng: Random,
    fps: float,
    stalls: Sequence[tuple[float, float]],
    kept: int,
    decode_s: float,
    until_s: float = 60.0,
    drift: float = 0.0,
) -> Iterator[Read]:
    """Simulate a source that buffers up to `kept` frames for a reader that stalls at some times."""
    buffer: deque[float] = deque()
    now, exposed = 100.0, 100.0
    pending = list(stalls)

    def produce(upto: float) -> None:
        nonlocal exposed
        while exposed + 1 / fps + 0.02 <= upto:
            exposed += (1 / fps) * rng.uniform(0.9, 1.1)
            if len(buffer) < kept:
                buffer.append(exposed)

    while now < 100.0 + until_s:
        produce(now)
        if not buffer:
            now = exposed + 1 / fps + 0.02 + rng.uniform(0, 0.03)
            produce(now)
            if not buffer:
                continue
        if pending and now >= 100.0 + pending[0][0]:
            now += pending.pop(0)[1]  # inside the read, before its frame is handed over
        frame = buffer.popleft()
        now += decode_s * rng.uniform(0.7, 1.5)
        yield Read(frame, now, times.exposure_at((frame - 90.0) * (1 + drift), now))


TIMES = {"pace": PaceTimes, "stream": StreamTimes}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("seed", range(12))
def test_stalled_frames_are_dropped(kind: str, seed: int) -> None:
    rng = Random(seed)
    fps = rng.choice([8, 15, 25, 30])
    stalls = [(10.0, rng.uniform(1.2, 8)), (30.0, rng.uniform(1.2, 8)), (30.2, 0.7), (45.0, 3.0)]
    reads = list(
        play(
            TIMES[kind](LIMIT_S, 0.3),
            rng=rng,
            fps=fps,
            stalls=stalls,
            kept=rng.choice([1, 5, 60, 1000]),
            decode_s=rng.choice([0.001, 0.3 / fps]),
        )
    )
    assert [read for read in reads if read.is_wrong] == []
    fresh = [read.read_at for read in reads if read.dated is not None]
    for after in (5.0, 25.0, 57.0):  # seconds after the stall before
        assert any(100 + after < at < 102 + after for at in fresh), after


@pytest.mark.parametrize("begins_s", [0.2, 0.8, 1.4])
def test_stall_while_settling_is_no_rate(begins_s: float) -> None:
    reads = play(
        PaceTimes(LIMIT_S, 0.3),
        rng=Random(1),
        fps=60,
        stalls=[(begins_s, 8.0)],
        kept=2000,
        decode_s=0.004,
        until_s=30.0,
    )
    found = list(reads)
    assert [read for read in found if read.is_wrong] == []
    assert any(read.dated is not None for read in found)


@pytest.mark.parametrize("kind", TIMES)
def test_start_buffered_frames_are_dropped(kind: str) -> None:
    reads = list(
        play(
            TIMES[kind](LIMIT_S, 3.0),
            rng=Random(1),
            fps=15,
            stalls=[(0.0, 3.0)],
            kept=1000,
            decode_s=0.005,
            until_s=20.0,
        )
    )
    assert [read for read in reads if read.is_wrong] == []
    assert sum(read.dated is not None for read in reads) > 100


@pytest.mark.parametrize("drift", [0.0003, -0.0003])
def test_stream_clock_drift_is_no_delay(drift: float) -> None:
    times = StreamTimes(LIMIT_S, 0.3)
    reads = list(
        play(times, rng=Random(2), fps=5, stalls=[], kept=9, decode_s=0.001, until_s=3600.0,
             drift=drift)
    )  # fmt: skip
    late = [read for read in reads[100:] if read.dated is None or read.read_at - read.dated > 0.3]
    assert late == []


def test_stream_age_is_of_its_timestamp() -> None:
    times = StreamTimes(LIMIT_S, 0.3)
    for number in range(60):
        times.exposure_at(number / 15, 100 + number / 15)
    assert times.exposure_at(4.0, 104.4) == pytest.approx(104.0, abs=0.01)
    assert times.exposure_at(4.1, 105.2) is None


def test_stream_clock_reset_settles_again() -> None:
    times = StreamTimes(LIMIT_S, 0.3)
    for number in range(60):
        times.exposure_at(50 + number / 15, 100 + number / 15)
    dated = [times.exposure_at(number / 15, 104 + number / 15) for number in range(60)]
    assert dated[0] is None and dated[-1] == pytest.approx(104 + 59 / 15, abs=0.01)


def test_stream_without_stamps_goes_by_pace() -> None:
    times = StreamTimes(LIMIT_S, 0.3)
    dated = [times.exposure_at(0.0, 100 + number / 15) for number in range(60)]
    assert dated[-1] == pytest.approx(100 + 59 / 15)
    assert times.exposure_at(0.0, 100 + 59 / 15 + 7) is None


def test_device_time_is_of_its_timestamp() -> None:
    times = DeviceTimes(LIMIT_S, 0.1)
    assert times.exposure_at(99.95, 100.0) == 99.95
    assert (
        times.exposure_at(100.1, 107.0) is None
    )  # waited in the driver while the process was stopped
    assert times.exposure_at(106.99, 107.01) == 106.99
    assert times.exposure_at(107.05, 107.04) == 107.04  # never later than the reading


@pytest.mark.parametrize("stamp", [0.0, 1.7e9])
def test_device_other_clock_goes_by_pace(stamp: float) -> None:
    times = DeviceTimes(LIMIT_S, 0.1)
    dated = [times.exposure_at(stamp + number / 15, 100 + number / 15) for number in range(60)]
    assert dated[0] is None and dated[-1] == pytest.approx(100 + 59 / 15)


def test_pace_change_of_rate_is_not_trusted() -> None:
    """A camera that halves its rate looks like a slow reader: it must be opened again."""
    times = PaceTimes(LIMIT_S, 0.3)
    for number in range(60):
        times.exposure_at(0.0, 100 + number / 15)
    dated = [times.exposure_at(0.0, 104 + number / 7) for number in range(70)]
    assert dated[20:] == [None] * 50
