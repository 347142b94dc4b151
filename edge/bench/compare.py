"""`edge-bench compare`: ratio of two results with its interval, if they are comparable."""

from __future__ import annotations

from collections.abc import Iterator

from edge.bench import statistics
from edge.bench.results import (
    CameraReport,
    CompareReport,
    EngineReport,
    GalleryReport,
    Measured,
    Ratio,
    RunReport,
    SoakReport,
    SweepReport,
)
from edge.errors import ConfigError
from edge.frozen_model import FrozenModel

_JUDGED = (
    "frame",
    "frame_to_decision",
    "outside",
    "search",
    "call",
)  # other series are reported, not judged
_REPORTED = (
    *_JUDGED,
    "first_usable_to_relay",
    "frame_to_relay",
    "frame_to_grant",
    "age",
    "interval",
)
_FREE = ("versions",)  # of the machine: may differ
_FREE_CONDITIONS = ("door", "record_on")  # do not affect what is judged


def compare(
    before: Measured, after: Measured, *, names: tuple[str, str], regression: float, force: bool
) -> CompareReport:
    """Compare two results; raises ConfigError if they were not measured alike, unless `force`."""
    if before.kind != after.kind:
        raise ConfigError(
            f"{names[0]} was measured by `{before.kind}`, {names[1]} by `{after.kind}`: measure "
            "both the same way"
        )
    differ = tuple(_differ(before, after))
    if differ and not force:
        raise ConfigError(
            f"measured under different conditions: {'; '.join(differ)}; measure again, or compare "
            "with --force"
        )
    ratios = tuple(_ratios(before, after, regression))
    if not ratios:
        raise ConfigError("the two results have no series in common; nothing can be compared")
    passed = not any(ratio.worse for ratio in ratios)
    return CompareReport(
        before=names[0],
        after=names[1],
        regression=regression,
        differ=differ,
        ratios=ratios,
        passed=passed,
    )


def _differ(before: Measured, after: Measured) -> Iterator[str]:
    yield from _fields("machine", before.machine, after.machine, _FREE)
    if isinstance(before, (RunReport, SoakReport)) and isinstance(after, (RunReport, SoakReport)):
        yield from _fields("conditions", before.conditions, after.conditions, _FREE_CONDITIONS)
    for name in ("source", "frames", "frame_size", "templates_per_subject", "model"):
        old, new = getattr(before, name, None), getattr(after, name, None)
        if old != new:
            yield f"{name}: {old} and {new}"
    missing = set(_series(before)) ^ set(_series(after))
    for row in sorted({name.rpartition(": ")[0] for name in missing} - {""}):
        yield f"{row}: only in one of the two"


def _fields(
    of: str, before: FrozenModel, after: FrozenModel, free: tuple[str, ...]
) -> Iterator[str]:
    for name in type(before).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if old != new and name not in free:
            yield (
                f"{of}.{name}: {'not available' if old is None else old} and "
                f"{'not available' if new is None else new}"
            )


def _series(report: Measured) -> dict[str, list[float]]:
    """Return milliseconds by series name; rows are named `row: series`."""
    if isinstance(report, (RunReport, SoakReport, CameraReport)):
        return {
            name: ms
            for name, ms in report.series.items()
            if name in _REPORTED or name.startswith("stage.")
        }
    rows: list[tuple[str, dict[str, list[float]]]] = []
    if isinstance(report, GalleryReport):
        rows = [
            (f"{row.templates} templates of {row.embedding}", row.series) for row in report.rows
        ]
    elif isinstance(report, (SweepReport, EngineReport)):
        rows = [(row.name, row.series) for row in report.rows]
    return {f"{row}: {name}": ms for row, series in rows for name, ms in series.items()}


def _ratios(before: Measured, after: Measured, regression: float) -> Iterator[Ratio]:
    old, new = _series(before), _series(after)
    for name in [name for name in old if name in new]:
        found = statistics.ratio_of_medians(old[name], new[name])
        ratio, low, high = found or (None, None, None)
        judged = name.rpartition(": ")[2] in _JUDGED
        yield Ratio(
            name=name,
            before=_median(old[name]),
            after=_median(new[name]),
            ratio=_rounded(ratio),
            low=_rounded(low),
            high=_rounded(high),
            judged=judged,
            worse=bool(judged and ratio and low and ratio > regression and low > 1),
        )


def _median(ms: list[float]) -> float:
    return round(statistics.percentiles(ms)[2], 4)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
