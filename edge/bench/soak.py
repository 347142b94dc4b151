"""`edge-bench soak`: changes over hours: memory, latency, temperature, lost frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge.bench.interrupt import InterruptHandler
from edge.bench.loop import FrameTiming
from edge.bench.machine import MachineMonitor
from edge.bench.measure import measure
from edge.bench.prepare import PreparedBench
from edge.bench.quantities import MachineSample
from edge.bench.results import Finding, PipelineReport, SoakReport, SoakRow, Window

OnRow = Callable[[SoakRow], None]
_DRIFT = 1.15  # largest over smallest median of windows
_SLOPE_MIB = 1.0  # MiB per hour, limit of the interval's lower end
_LOST = 0.001  # share of the camera's frames


class SoakRows:
    """Collects rows of `every_s` seconds, and medians of windows."""

    def __init__(self, every_s: float, window_s: float, on_row: OnRow) -> None:
        self._every_s, self._window_s, self._on_row = every_s, window_s, on_row
        self._row: list[float] = []
        self._busy: list[float] = []
        self._decided: list[float] = []
        self._dropped = 0
        self._next_s, self._window_from_s = every_s, 0.0
        self._rows: list[bytes] = []  # packed, so that they do not show in the measured memory
        self.windows: list[Window] = []

    def add(self, turn: FrameTiming, at_s: float, dropped: int, watch: MachineMonitor) -> None:
        """Add one frame; rows and windows end when their time has passed."""
        if at_s >= self._next_s:
            self._end_row(at_s, dropped, watch.newest)
        if at_s >= self._window_from_s + self._window_s:
            self._end_window()
        if turn.is_idle:
            return
        self._row.append(turn.busy_s)
        self._busy.append(turn.busy_s)
        self._decided.append(turn.decided_s)

    @property
    def rows(self) -> tuple[SoakRow, ...]:
        return tuple(SoakRow.model_validate_json(packed) for packed in self._rows)

    def _end_row(self, at_s: float, dropped: int, seen: MachineSample) -> None:
        median, p99 = (
            (round(float(v) * 1000, 3) for v in np.percentile(self._row, (50, 99)))
            if self._row
            else (None, None)
        )
        row = SoakRow(
            at_s=round(at_s, 1),
            frames=len(self._row),
            dropped=dropped - self._dropped,
            frame_median=median,
            frame_p99=p99,
            rss_mib=seen.rss_mib,
            hottest_c=max(seen.temperatures_c.values(), default=None),
            power_w=seen.power_w,
            throttled_by=seen.throttled_by,
        )
        self._rows.append(row.model_dump_json().encode())
        self._on_row(row)
        self._row.clear()
        self._dropped = dropped
        self._next_s += self._every_s * max(1, -(-(at_s - self._next_s) // self._every_s))

    def _end_window(self) -> None:
        """End the rows; an incomplete last window is left out."""
        medians = (
            round(float(np.median(values)) * 1000, 4) for values in (self._busy, self._decided)
        )
        if self._busy:
            frame, decision = medians
            window = Window(
                from_s=self._window_from_s,
                frames=len(self._busy),
                frame_median=frame,
                decision_median=decision,
            )
            self.windows.append(window)
        self._busy.clear()
        self._decided.clear()
        self._window_from_s += self._window_s


def soak(
    bench: PreparedBench, stop: InterruptHandler, *, every_s: float, window_s: float, on_row: OnRow
) -> SoakReport:
    """Run; `on_row` receives each row.

    Raises CameraError, EngineError, RecordError or DoorError.
    """
    rows = SoakRows(every_s, window_s, on_row)
    report = measure(bench, stop, rows.add)
    medians = [window.frame_median for window in rows.windows]
    drift = round(max(medians) / min(medians), 4) if len(medians) > 1 else None
    return SoakReport(
        **dict(report),
        window_s=window_s,
        windows=tuple(rows.windows),
        drift=drift,
        findings=findings(report, drift),
        rows=rows.rows,
    )


def findings(report: PipelineReport, drift: float | None) -> tuple[Finding, ...]:
    """Return the findings of a soak with their limits."""
    return _memory(report), _drift(drift), _lost(report), _throttled(report), _hot(report.samples)


def _memory(report: PipelineReport) -> Finding:
    slope = report.memory.slope_mib
    if slope is None:
        return Finding(what="memory", passed=None, words="too short for a slope")
    interval = (
        f"95 % interval {slope.low:+.2f} to {slope.high:+.2f}; at most {_SLOPE_MIB:g} at its lower "
        "end"
    )
    words = f"{slope.per_hour:+.2f} MiB an hour, {interval}"
    return Finding(what="memory", passed=slope.low <= _SLOPE_MIB, words=words)


def _drift(drift: float | None) -> Finding:
    if drift is None:
        return Finding(what="latency", passed=None, words="fewer than two complete windows")
    words = f"medians of the windows differ by {drift - 1:.1%}; at most {_DRIFT - 1:.0%}"
    return Finding(what="latency", passed=drift <= _DRIFT, words=words)


def _lost(report: PipelineReport) -> Finding:
    dropped, frames = report.camera.dropped, report.camera.frames
    words = (
        f"{dropped} of {frames} frames were overtaken before they were looked at; at most "
        f"{_LOST:.1%}"
    )
    return Finding(what="frames", passed=dropped <= frames * _LOST, words=words)


def _throttled(report: PipelineReport) -> Finding:
    throttling = report.throttling
    if not throttling.known:
        return Finding(what="throttling", passed=None, words="not available on this machine")
    causes = (
        ", ".join(f"{name} in {share:.0%} of the samples" for name, share in throttling.by.items())
        or "none active"
    )
    counted = "" if throttling.events is None else f"; {throttling.events} events counted"
    return Finding(
        what="throttling",
        passed=not throttling.by and not throttling.events,
        words=causes + counted,
    )


def _hot(samples: Sequence[MachineSample]) -> Finding:
    hottest = [
        max(sample.temperatures_c.items(), key=lambda item: item[1])
        for sample in samples
        if sample.temperatures_c
    ]
    if not hottest:
        return Finding(what="temperature", passed=None, words="not available on this machine")
    name, celsius = max(hottest, key=lambda item: item[1])
    return Finding(
        what="temperature",
        passed=None,
        words=f"{celsius:.1f} °C at most, {name}; no limit: only throttling counts",
    )
