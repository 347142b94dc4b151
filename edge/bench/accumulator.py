"""Statistics of frame times, in memory of fixed size.

A growing benchmark hides a growing pipeline.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from edge.bench import statistics
from edge.bench.loop import STAGES, FrameTiming, GrantTiming
from edge.bench.quantities import CameraStatistics, EndToEnd, NetworkTimes, StageTimes, Summary
from edge.camera import Camera as CameraProtocol
from edge.values import Frame

_CAPACITY = 20_000
_SERIES_MOST = 5_000
_REFERENCE = 30  # intervals, whose median is the reference of a camera's pace
_GAP = 1.5
_DIGITS = 4


class DecimatedSeries:
    """Series of one number per frame.

    When full, every second number is dropped and the step is doubled.

    Series that are fed together stay aligned. NaN is a missing value.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._values = np.full(capacity, math.nan)
        self._kept, self._seen, self._stride = 0, 0, 1

    def add(self, value: float) -> None:
        if self._seen % self._stride == 0:
            if self._kept == len(self._values):
                half = len(self._values[::2])
                self._values[:half] = self._values[::2]
                self._kept, self._stride = half, self._stride * 2
            if self._seen % self._stride == 0:
                self._values[self._kept] = value
                self._kept += 1
        self._seen += 1

    def aligned(self) -> list[float]:
        """Return all values, with NaN."""
        return [float(v) for v in self._values[: self._kept]]

    def present(self) -> list[float]:
        """Return the values that are present."""
        return [v for v in self.aligned() if v == v]

    def ms(self) -> list[float]:
        """Return the values that are present, in milliseconds (input: seconds)."""
        return [v * 1000 for v in self.present()]


class RunStatistics:
    """Statistics of all frames of a measurement."""

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        names = ("at", "age", "busy", "decided", "outside", "detector", "embedder")
        self._columns = {name: DecimatedSeries() for name in names}
        self._stages = {name: DecimatedSeries() for name in STAGES}
        self._sums = dict.fromkeys(STAGES, 0.0)
        self._grants = array("d")  # five numbers each; see `Granted`
        self.frames = self.looked_at = self.faces = self.embedded = 0
        self.busy_s = self.outside_s = 0.0

    def add(self, timing: FrameTiming) -> None:
        self.frames += 1
        self.faces += timing.faces
        self.embedded += timing.embedded
        self.busy_s += timing.busy_s
        self.outside_s += timing.outside_s
        if timing.is_idle:
            return
        self.looked_at += 1
        columns = self._columns
        columns["at"].add(timing.at - self._started_at)
        columns["age"].add(timing.age_s)
        columns["busy"].add(timing.busy_s)
        columns["decided"].add(timing.decided_s)
        columns["outside"].add(timing.outside_s)
        columns["detector"].add(_mean(timing.detector))
        columns["embedder"].add(_mean(timing.embedder))
        self._add_stages({"capture": timing.age_s, **timing.stages}, timing)
        for grant in timing.grants:
            self._grants.extend(
                math.nan if v is None else v
                for v in (
                    grant.frame_at,
                    grant.first_usable_at,
                    grant.granted_at,
                    grant.requested_at,
                    grant.answered_at,
                )
            )

    def _add_stages(self, spent: dict[str, float], turn: FrameTiming) -> None:
        """Add the stage times. A stage without work in a frame is not in its summary."""
        idle = set() if turn.faces else {"look"}
        idle |= set() if turn.embedded else {"embed", "search", "decide"}
        for name in spent.keys() - self._stages.keys():
            self._stages[name], self._sums[name] = DecimatedSeries(), 0.0
        for name, column in self._stages.items():
            seconds = spent.get(name)
            column.add(math.nan if seconds is None or name in idle else seconds)
            self._sums[name] += seconds or 0.0

    @property
    def grants(self) -> list[GrantTiming]:
        rows = [self._grants[i : i + 5] for i in range(0, len(self._grants), 5)]
        times = [[None if v != v else v for v in row] for row in rows]
        return [GrantTiming(*row) for row in times]  # type: ignore[arg-type]

    def stages(self) -> dict[str, StageTimes]:
        """Return the times of each stage; a stage without work in any frame is left out."""
        times = {name: column.ms() for name, column in self._stages.items()}
        return {
            name: StageTimes(
                summary=Summary.from_ms(ms),
                per_frame=round(self._sums[name] / self.frames * 1000, _DIGITS),
            )
            for name, ms in times.items()
            if ms or self._sums[name]
        }

    def frame(self) -> Summary:
        summary = Summary.from_ms(self._columns["busy"].ms())
        assert summary is not None
        return summary

    def networks(self) -> NetworkTimes:
        detector, embedder = (
            Summary.from_ms(self._columns[name].ms()) for name in ("detector", "embedder")
        )
        outside = Summary.from_ms(self._columns["outside"].ms())
        assert outside is not None
        both = detector.median + embedder.median if detector and embedder else None
        return NetworkTimes(
            detector=detector,
            embedder=embedder,
            outside=outside,
            outside_share=round(self.outside_s / self.busy_s, _DIGITS),
            outside_to_one_of_each=round(outside.median / both, _DIGITS) if both else None,
        )

    def end_to_end(self, switched: Sequence[float]) -> tuple[EndToEnd, dict[str, list[float]]]:
        """Return report and single times in ms; `switched`: relay times, monotonic seconds."""
        times: dict[str, list[float]] = {
            name: [] for name in EndToEnd.model_fields if name != "frame_to_decision"
        }
        for grant in self.grants:
            relay_at = _switch_time(switched, grant)
            for start, since in (
                ("frame", grant.frame_at),
                ("first_usable", grant.first_usable_at),
            ):
                for end, at in (("grant", grant.granted_at), ("relay", relay_at)):
                    if since is not None and at is not None:
                        times[f"{start}_to_{end}"].append((at - since) * 1000)
        decided = Summary.from_ms(self._columns["decided"].ms())
        return EndToEnd(
            frame_to_decision=decided, **{name: Summary.from_ms(ms) for name, ms in times.items()}
        ), times

    def series(self) -> dict[str, list[float]]:
        """Return the series by frame (`at_s`, `frame`, ...) and the stage times."""
        columns, ms = self._columns, 1000
        aligned = {
            "frame": columns["busy"],
            "frame_to_decision": columns["decided"],
            "outside": columns["outside"],
        }
        series = {
            "at_s": columns["at"].aligned(),
            **{name: [v * ms for v in c.aligned()] for name, c in aligned.items()},
        }
        series |= {
            name: columns[key].ms()
            for name, key in (("network.detector", "detector"), ("network.embedder", "embedder"))
        }
        series |= {f"stage.{name}": column.ms() for name, column in self._stages.items()}
        return rounded_series(series)

    def age(self) -> Summary | None:
        return Summary.from_ms(self._columns["age"].ms())


def rounded_series(series: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return decimated and rounded series, without empty ones."""
    return {
        name: [round(v, _DIGITS) for v in statistics.decimate(values, _SERIES_MOST)]
        for name, values in series.items()
        if values
    }


def _mean(calls: Sequence[float]) -> float:
    return sum(calls) / len(calls) if calls else math.nan


def _switch_time(switched: Sequence[float], grant: GrantTiming) -> float | None:
    """Return the time at which the relay switched between request and answer, or None."""
    if grant.requested_at is None or grant.answered_at is None:
        return None
    next_one = bisect_left(switched, grant.requested_at)
    return (
        switched[next_one]
        if next_one < len(switched) and switched[next_one] <= grant.answered_at
        else None
    )


class CountingCamera:
    """Camera that counts frames and intervals. It can be opened again after a loss."""

    def __init__(self, open_camera: Callable[[], CameraProtocol]) -> None:
        self._open_camera = open_camera
        self._camera = open_camera()
        self._intervals = DecimatedSeries()
        self._first: list[float] = []
        self._reference: float | None = None
        self._began_at: float | None = None
        self._last_at = 0.0
        self.frames = self.gaps = 0

    def read(self) -> Frame | None:
        frame = self._camera.read()
        if frame is not None:
            self._count(frame.at)
        return frame

    def close(self) -> None:
        self._camera.close()

    def reopen(self) -> CountingCamera:
        """Open the camera again; raises CameraError."""
        self._camera = self._open_camera()
        return self

    def _count(self, at: float) -> None:
        self.frames += 1
        if self._began_at is None:
            self._began_at = at
        else:
            interval = at - self._last_at
            self._intervals.add(interval)
            self._watch_gaps(interval)
        self._last_at = at

    def _watch_gaps(self, interval: float) -> None:
        if self._reference is not None:
            self.gaps += interval > _GAP * self._reference
            return
        self._first.append(interval)
        if len(self._first) == _REFERENCE:
            self._reference = float(np.median(self._first))
            self.gaps = sum(one > _GAP * self._reference for one in self._first)

    def summarise(self, dropped: int, age: Summary | None) -> CameraStatistics:
        intervals = self._intervals.present()
        passed = self._last_at - (self._began_at or 0.0)
        return CameraStatistics(
            frames=self.frames,
            rate_fps=round((self.frames - 1) / passed, 3)
            if self.frames > 1 and passed > 0
            else None,
            interval=Summary.from_ms([v * 1000 for v in intervals]),
            jitter=round(float(np.std(intervals)) * 1000, _DIGITS) if len(intervals) > 1 else None,
            age=age,
            dropped=dropped,
            gaps=self.gaps,
        )

    def series(self) -> dict[str, list[float]]:
        return rounded_series({"interval": [v * 1000 for v in self._intervals.present()]})
