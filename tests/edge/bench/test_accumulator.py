"""Statistics of pipeline turns.

Stages per frame that used them, openings matched with grants, gaps between frames.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge.bench.accumulator import CountingCamera, RunStatistics
from edge.bench.loop import FrameTiming, GrantTiming
from edge.values import Frame

IMAGE = np.zeros((4, 4, 3), np.uint8)


def turn(
    at: float, *, faces: int = 1, embedded: int = 1, grants: tuple[GrantTiming, ...] = ()
) -> FrameTiming:
    """Ten milliseconds of work, eight of them in the networks."""
    stages = {"detect": 0.006, "track": 0.0, "look": 0.0, "embed": 0.003 if embedded else 0.000001}
    return FrameTiming(
        at,
        0.001,
        0.010,
        0.011,
        stages,
        [0.005],
        [0.003] if embedded else [],
        faces,
        embedded,
        grants,
    )


def test_stage_summary_ignores_idle_frames() -> None:
    tally = RunStatistics(100.0)
    tally.add(turn(100.0))
    tally.add(turn(100.1, embedded=0))
    tally.add(turn(100.2, faces=0, embedded=0))
    stages = tally.stages()
    assert stages["embed"].summary is not None and stages["embed"].summary.n == 1
    assert stages["embed"].per_frame == pytest.approx(1.0, abs=0.01)  # over all three
    assert stages["look"].summary is not None and stages["look"].summary.n == 2
    assert stages["detect"].summary is not None and stages["detect"].summary.median == 6.0
    assert "door" not in stages and "record" not in stages  # never heard of: not 0
    assert tally.frames == 3 and tally.series()["at_s"] == [0.0, 0.1, 0.2]


def test_what_is_outside_the_networks() -> None:
    tally = RunStatistics(0.0)
    tally.add(turn(0.0))
    networks = tally.networks()
    assert networks.outside.median == pytest.approx(
        2.0
    ) and networks.outside_share == pytest.approx(0.2)
    assert networks.outside_to_one_of_each == pytest.approx(0.25)


def test_stages_unknown_name_is_reported() -> None:
    tally = RunStatistics(0.0)
    odd = turn(0.0)
    odd.stages["align"] = 0.002
    tally.add(odd)
    assert tally.stages()["align"].per_frame == 2.0


def test_openings_are_matched_with_their_grants() -> None:
    tally = RunStatistics(0.0)
    opened = GrantTiming(1.0, 0.8, 1.020, 1.020, 1.024)
    while_open = GrantTiming(1.1, None, 1.120, 1.120, 1.124)  # the relay was energised already
    refused = GrantTiming(1.2, 1.0, 1.220, 1.220, None)
    tally.add(turn(1.2, grants=(opened, while_open, refused)))
    ends, single = tally.end_to_end([0.5, 1.022, 1.3])
    assert single["frame_to_relay"] == [pytest.approx(22.0)] and single[
        "first_usable_to_relay"
    ] == [pytest.approx(222.0)]
    assert [round(ms) for ms in single["frame_to_grant"]] == [20, 20, 20]
    assert [round(ms) for ms in single["first_usable_to_grant"]] == [
        220,
        220,
    ]  # of the first grant of a track
    assert ends.frame_to_relay is not None and ends.frame_to_relay.n == 1


def test_end_to_end_without_door_has_no_relay() -> None:
    tally = RunStatistics(0.0)
    tally.add(turn(1.0, grants=(GrantTiming(1.0, 0.8, 1.02, None, None),)))
    ends, _ = tally.end_to_end([1.021])
    assert ends.frame_to_grant is not None and ends.frame_to_relay is None


class Paced:
    """A camera whose frames have the times that are named."""

    def __init__(self, times: Iterator[float]) -> None:
        self._times = times
        self.closed = 0

    def read(self) -> Frame | None:
        at = next(self._times, None)
        return None if at is None else Frame(IMAGE, at, 0)

    def close(self) -> None:
        self.closed += 1


def test_the_camera_s_pace_and_its_gaps() -> None:
    times = [n / 10 for n in range(50) if n not in (20, 40, 41)]
    camera = CountingCamera(lambda: Paced(iter(times)))
    while camera.read() is not None:
        pass
    summary = camera.summarise(3, None)
    assert summary.frames == 47 and summary.gaps == 2 and summary.dropped == 3
    assert (
        summary.rate_fps == pytest.approx(46 / 4.9, abs=1e-3)
        and summary.interval is not None
        and summary.interval.median == pytest.approx(100)
    )
    assert summary.jitter is not None and summary.jitter > 0


def test_of_a_single_frame_no_pace_is_known() -> None:
    camera = CountingCamera(lambda: Paced(iter([1.0])))
    camera.read()
    summary = camera.summarise(0, None)
    assert summary.rate_fps is None and summary.interval is None and summary.jitter is None
