"""What `edge-bench` found, in the form in which it is written, read again, compared and drawn: schema version 1.

Milliseconds unless a name says otherwise. None stands for what is not available or did not happen, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edge.bench import statistics
from edge.errors import ConfigError
from edge.parsing import parse_json

_DIGITS = 4


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Summary(Part):
    """Of a number of times."""

    n: int = Field(ge=1)
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, ms: Sequence[float]) -> Summary | None:
        """None where nothing was measured."""
        if not len(ms):
            return None
        low, mean, median, p90, p95, p99, high = (
            round(v, _DIGITS) for v in statistics.percentiles(ms)
        )
        return cls(
            n=len(ms), min=low, mean=mean, median=median, p90=p90, p95=p95, p99=p99, max=high
        )


class Machine(Part):
    """What it was measured on."""

    processor: str | None
    cores: int = Field(description="that this process may use")
    memory_mib: int | None
    system: str
    board: str | None
    l4t: str | None = Field(description="release of a Jetson's Linux")
    power_mode: str | None = Field(description="of nvpmodel")
    clocks_locked: bool | None = Field(
        description="whether jetson_clocks, or something like it, holds the clocks where they are"
    )
    governor: str | None
    versions: dict[str, str] = Field(description="of Python and of what does the work")


class Conditions(Part):
    """What must be alike so that two results may be compared."""

    source: str = Field(description="where the frames came from")
    frames: str | None = Field(description="digest of the first frames; None for a live camera")
    pace: str = Field(description="of the camera; `flat out`: as fast as frames are done")
    frame_size: str | None = Field(description="width x height")
    engine: str
    precision: str
    threads: int | None = Field(description="of ONNX Runtime")
    detector: str
    templates: int = Field(description="in the gallery")
    model: str = Field(description="digest of the embedder")
    liveness: str
    door: str = Field(description="how far an opening was followed")
    record_on: str | None = Field(description="file system that records were written to")


class Accuracy(Part):
    """Beside the speed of a network, so that nobody buys a fast wrong one."""

    parity: str = Field(description="verdict of the parity gate")
    parity_passed: bool
    masked_tar: float | None = Field(
        description="at FMR 1e-3, masked probe against clean template, of the manifest"
    )
    masked_tar_of: str | None = Field(
        description="the precision and the pairs that it was measured with"
    )


class Stage(Part):
    """One step of the way from camera to door."""

    summary: Summary | None = Field(description="over the frames in which it had something to do")
    per_frame: float = Field(description="mean over all frames")


class Networks(Part):
    """The two networks against everything else; mean milliseconds where not said otherwise."""

    detector: Summary | None
    embedder: Summary | None = Field(description="of one call, which may hold several faces")
    outside: Summary = Field(description="everything but the networks, of a frame")
    outside_share: float = Field(description="of all time in the pipeline")
    outside_to_one_of_each: float | None = Field(
        description="median outside over the medians of one call of each network"
    )


class EndToEnd(Part):
    """From the camera's timestamp, which is taken when the driver has handed the frame over."""

    frame_to_decision: Summary | None
    frame_to_grant: Summary | None = Field(description="newest voting frame to the grant on record")
    frame_to_relay: Summary | None = Field(
        description="newest voting frame to the switching of the simulated relay"
    )
    first_usable_to_grant: Summary | None = Field(
        description="a person's first usable frame to the grant on record"
    )
    first_usable_to_relay: Summary | None


class Camera(Part):
    frames: int
    rate_fps: float | None
    interval: Summary | None
    jitter: float | None = Field(description="standard deviation of the interval")
    age: Summary | None = Field(description="of a frame when it is taken up")
    dropped: int = Field(description="overtaken by a newer one before they were taken up")
    gaps: int = Field(description="intervals of more than one and a half times the median")


class Slope(Part):
    """By least squares, with its 95 % interval."""

    per_hour: float
    low: float
    high: float

    @classmethod
    def of(cls, at_s: Sequence[float], values: Sequence[float]) -> Slope | None:
        found = statistics.slope(at_s, values)
        return (
            None
            if found is None
            else cls(
                **dict(zip(("per_hour", "low", "high"), (v * 3600 for v in found), strict=True))
            )
        )


class Memory(Part):
    start_mib: float
    end_mib: float
    peak_mib: float
    slope_mib: Slope | None = Field(description="None where the run was too short to tell")


class Allocations(Part):
    """By tracemalloc, in a pass of its own: it slows everything down."""

    frames: int
    peak_kib: float = Field(
        description="median of the memory that one frame takes at most, beyond what was held before it"
    )
    kept_bytes: float = Field(description="mean growth of what is held, a frame")
    kept_blocks: float


class Sample(Part):
    """The machine and this process at one moment."""

    at_s: float
    rss_mib: float
    cpu_percent: float | None = Field(description="of one core, by this process")
    clocks_mhz: dict[str, float]
    temperatures_c: dict[str, float]
    rails_w: dict[str, float]
    power_w: float | None
    loads: dict[str, float] = Field(description="percent of each processor, by everybody")
    throttled_by: tuple[str, ...] | None
    throttle_events: int | None = Field(description="since the machine was started")


class Power(Part):
    mean_w: float
    frames_per_joule: float


class Speed(Part):
    """How the whole pipeline did."""

    seconds: float
    frames: int
    looked_at: int = Field(
        description="frames in which anything was to be looked at: the times are theirs"
    )
    faces: int
    embedded: int
    throughput_fps: float
    capacity_fps: float = Field(
        description="what one pipeline could do: frames over the time at work on them"
    )
    cpu_s: float = Field(description="of this process")
    cpu_ms_per_frame: float
    frame: Summary = Field(description="work on one frame")
    stages: dict[str, Stage]
    networks: Networks
    end_to_end: EndToEnd
    grants: int
    openings: int = Field(description="grants after which the simulated relay switched")
    power: Power | None


class Throttling(Part):
    known: bool = Field(description="whether this machine tells")
    by: dict[str, float] = Field(description="share of the samples in which each cause was active")
    events: int | None = Field(description="counted during the measurement")


class Report(Part):
    """What all results have."""

    schema_version: Literal[1] = 1
    made_at: str
    machine: Machine


class PipelineReport(Report):
    """Of a measurement of the whole way from camera to door."""

    conditions: Conditions
    accuracy: Accuracy
    ended: str = Field(
        description="why: duration, end of the recording, all frames done, interrupted"
    )
    speed: Speed
    camera: Camera
    memory: Memory
    throttling: Throttling
    samples: tuple[Sample, ...]
    series: dict[str, list[float]] = Field(
        description="milliseconds of frames or events, thinned; `at_s` seconds"
    )


class RunReport(PipelineReport):
    kind: Literal["run"] = "run"
    allocations: Allocations | None


class SoakRow(Part):
    at_s: float
    frames: int
    dropped: int
    frame_median: float | None
    frame_p99: float | None
    rss_mib: float
    hottest_c: float | None
    power_w: float | None
    throttled_by: tuple[str, ...] | None


class Window(Part):
    """A stretch of a soak."""

    from_s: float
    frames: int
    frame_median: float
    decision_median: float


class Finding(Part):
    """What was asked of a soak."""

    what: str
    passed: bool | None = Field(description="None where it cannot be told")
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


class SweepRow(Part):
    name: str
    engine: str
    precision: str
    threads: int | None
    detector: str
    faces: int | None = Field(
        description="drawn into each frame; None where the frames are the camera's"
    )
    templates: int
    frame: Summary
    outside: Summary
    detector_network: Summary | None
    embedder_network: Summary | None
    cpu_ms_per_frame: float
    accuracy: Accuracy
    series: dict[str, list[float]]


class Refused(Part):
    name: str
    why: str


class SweepReport(Report):
    kind: Literal["sweep"] = "sweep"
    source: str
    frames: str | None = Field(description="digest of the frames; None for a live camera")
    model: str
    rounds: int = Field(
        description="in which all combinations take turns, so that a machine that changes changes for all"
    )
    rows: tuple[SweepRow, ...]
    refused: tuple[Refused, ...]


class GalleryRow(Part):
    templates: int
    embedding: int
    mib: float = Field(description="of the templates in memory")
    search: Summary
    templates_per_us: float
    series: dict[str, list[float]]


class GalleryReport(Report):
    kind: Literal["gallery"] = "gallery"
    templates_per_subject: int
    rows: tuple[GalleryRow, ...]


class Phases(Part):
    """Of calls to an engine that can tell, as trtexec names them: latency is h2d + compute + d2h."""

    h2d: Summary
    compute: Summary
    d2h: Summary
    enqueue: Summary = Field(description="of the host, to hand the work over")


class EngineRow(Part):
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
    refused: tuple[Refused, ...]


class CameraReport(Report):
    kind: Literal["camera"] = "camera"
    source: str
    frame_size: str | None
    ended: str
    seconds: float
    camera: Camera
    lost: tuple[str, ...] = Field(description="what was said each time that the camera was lost")
    series: dict[str, list[float]]


class Ratio(Part):
    """Of medians, after over before, with its 95 % interval."""

    name: str
    before: float
    after: float
    ratio: float | None = Field(description="None where too few values are stored")
    low: float | None
    high: float | None
    judged: bool = Field(description="whether it counts for the verdict")
    worse: bool = Field(description="beyond the limit, and surely more than noise")


class CompareReport(Part):
    kind: Literal["compare"] = "compare"
    schema_version: Literal[1] = 1
    before: str
    after: str
    regression: float
    differ: tuple[str, ...] = Field(description="conditions that were not alike")
    ratios: tuple[Ratio, ...]
    passed: bool


Measured = RunReport | SoakReport | SweepReport | GalleryReport | EngineReport | CameraReport
Result = Annotated[Measured | CompareReport, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Measured | CompareReport] = TypeAdapter(Result)


def schema() -> dict[str, Any]:
    """JSON Schema of everything that edge-bench writes."""
    told = _ADAPTER.json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edge-bench, schema version 1",
        **told,
    }


def read(path: Path) -> Measured:
    """A result that was written; raises ConfigError that says what is wrong with the file."""
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
            f"{path}: is a comparison; expected what edge-bench run, sweep, gallery, engine or camera measured"
        )
    return found
