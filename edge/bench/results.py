"""Results of `edge-bench`: written, read, compared and drawn in this form. Schema version 1.

Times are milliseconds unless a name has another unit. None means not available or not happened,
never 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from edge.bench.quantities import (
    Accuracy,
    Allocations,
    CameraStatistics,
    Conditions,
    Machine,
    MachineSample,
    Memory,
    Speed,
    Summary,
    Throttling,
)
from edge.errors import ConfigError
from edge.frozen_model import FrozenModel
from edge.parsing import parse_json


class Report(FrozenModel):
    """Base of all results."""

    schema_version: Literal[1] = 1
    made_at: str
    machine: Machine


class PipelineReport(Report):
    """Result of a measurement from camera to door."""

    conditions: Conditions
    accuracy: Accuracy
    ended: str = Field(
        description="reason: duration, end of the recording, all frames done, interrupted"
    )
    speed: Speed
    camera: CameraStatistics
    memory: Memory
    throttling: Throttling
    samples: tuple[MachineSample, ...]
    series: dict[str, list[float]] = Field(
        description="milliseconds of frames or events, decimated; `at_s` in seconds"
    )


class RunReport(PipelineReport):
    kind: Literal["run"] = "run"
    allocations: Allocations | None


class SoakRow(FrozenModel):
    at_s: float
    frames: int
    dropped: int
    frame_median: float | None
    frame_p99: float | None
    rss_mib: float
    hottest_c: float | None
    power_w: float | None
    throttled_by: tuple[str, ...] | None


class Window(FrozenModel):
    """A window of a soak."""

    from_s: float
    frames: int
    frame_median: float
    decision_median: float


class Finding(FrozenModel):
    """Result of one check of a soak."""

    what: str
    passed: bool | None = Field(description="None if it cannot be determined")
    words: str


class SoakReport(PipelineReport):
    kind: Literal["soak"] = "soak"
    window_s: float
    windows: tuple[Window, ...]
    drift: float | None = Field(
        description="largest over smallest median of the windows; None with fewer than two"
    )
    findings: tuple[Finding, ...]
    rows: tuple[SoakRow, ...]


class SweepRow(FrozenModel):
    name: str
    engine: str
    precision: str
    threads: int | None
    detector: str
    faces: int | None = Field(description="drawn into each frame; None for frames of the camera")
    templates: int
    frame: Summary
    outside: Summary
    detector_network: Summary | None
    embedder_network: Summary | None
    cpu_ms_per_frame: float
    accuracy: Accuracy
    series: dict[str, list[float]]


class NotMeasured(FrozenModel):
    name: str
    why: str


class SweepReport(Report):
    kind: Literal["sweep"] = "sweep"
    source: str
    frames: str | None = Field(description="digest of the frames; None for a live camera")
    model: str
    rounds: int = Field(description="rounds in which all combinations take turns")
    rows: tuple[SweepRow, ...]
    refused: tuple[NotMeasured, ...]


class GalleryRow(FrozenModel):
    templates: int
    embedding: int
    mib: float = Field(description="memory of the templates")
    search: Summary
    templates_per_us: float
    series: dict[str, list[float]]


class GalleryReport(Report):
    kind: Literal["gallery"] = "gallery"
    templates_per_subject: int
    rows: tuple[GalleryRow, ...]


class Phases(FrozenModel):
    """Phases of a call, named as in trtexec: latency is h2d + compute + d2h."""

    h2d: Summary
    compute: Summary
    d2h: Summary
    enqueue: Summary = Field(description="time of the host to enqueue the work")


class EngineRow(FrozenModel):
    name: str
    network: str
    engine: str
    precision: str
    threads: int | None
    batch: int
    file: str
    mib: float
    call: Summary
    per_second: float = Field(description="samples")
    phases: Phases | None
    warnings: tuple[str, ...]
    accuracy: Accuracy
    series: dict[str, list[float]]


class EngineReport(Report):
    kind: Literal["engine"] = "engine"
    model: str
    rows: tuple[EngineRow, ...]
    refused: tuple[NotMeasured, ...]


class CameraReport(Report):
    kind: Literal["camera"] = "camera"
    source: str
    frame_size: str | None
    ended: str
    seconds: float
    camera: CameraStatistics
    lost: tuple[str, ...] = Field(description="message of each loss of the camera")
    series: dict[str, list[float]]


class Ratio(FrozenModel):
    """Ratio of medians, after over before, with its 95 % interval."""

    name: str
    before: float
    after: float
    ratio: float | None = Field(description="None with too few values")
    low: float | None
    high: float | None
    judged: bool = Field(description="whether it counts for the verdict")
    worse: bool = Field(description="beyond the limit, and significant")


class CompareReport(FrozenModel):
    kind: Literal["compare"] = "compare"
    schema_version: Literal[1] = 1
    before: str
    after: str
    regression: float
    differ: tuple[str, ...] = Field(description="conditions that differ")
    ratios: tuple[Ratio, ...]
    passed: bool


Measured = RunReport | SoakReport | SweepReport | GalleryReport | EngineReport | CameraReport
Result = Annotated[Measured | CompareReport, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Measured | CompareReport] = TypeAdapter(Result)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of all results."""
    schema = _ADAPTER.json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edge-bench, schema version 1",
        **schema,
    }


def load_result(path: Path) -> Measured:
    """Read a result; raises ConfigError that describes the fault of the file."""
    try:
        found = parse_json(_ADAPTER, path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); expected a file of edge-bench --json"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: not a result of this edge-bench: {str(error)[:300]}; measure again"
        ) from error
    if isinstance(found, CompareReport):
        raise ConfigError(
            f"{path}: is a comparison; expected a result of edge-bench run, sweep, gallery, engine "
            "or camera"
        )
    return found
