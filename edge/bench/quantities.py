"""Quantities that results of `edge-bench` are made of.

Times are milliseconds unless a name has another unit. None means not available or not happened,
never 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from edge.bench import statistics
from edge.frozen_model import FrozenModel

_DIGITS = 4


class Summary(FrozenModel):
    """Statistics of a number of times, ms."""

    n: int = Field(ge=1)
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def from_ms(cls, ms: Sequence[float]) -> Summary | None:
        """Return the statistics, or None without values."""
        if not len(ms):
            return None
        low, mean, median, p90, p95, p99, high = (
            round(v, _DIGITS) for v in statistics.percentiles(ms)
        )
        return cls(
            n=len(ms), min=low, mean=mean, median=median, p90=p90, p95=p95, p99=p99, max=high
        )


class Machine(FrozenModel):
    """Machine of a measurement."""

    processor: str | None
    cores: int = Field(description="cores available to this process")
    memory_mib: int | None
    system: str
    board: str | None
    l4t: str | None = Field(description="release of Jetson Linux")
    power_mode: str | None = Field(description="mode of nvpmodel")
    clocks_locked: bool | None = Field(description="clocks are fixed, for example by jetson_clocks")
    governor: str | None
    versions: dict[str, str] = Field(description="versions of Python and of the libraries")


class Conditions(FrozenModel):
    """Conditions that must be equal for a comparison."""

    source: str = Field(description="source of the frames")
    frames: str | None = Field(description="digest of the first frames; None for a live camera")
    pace: str = Field(description="pace of the frames; `flat out`: without pacing")
    frame_size: str | None = Field(description="width x height")
    engine: str
    precision: str
    threads: int | None = Field(description="threads of ONNX Runtime")
    detector: str
    templates: int = Field(description="templates in the gallery")
    model: str = Field(description="digest of the embedder")
    liveness: str
    door: str = Field(description="how far a grant was followed")
    record_on: str | None = Field(description="file system of the audit log")


class Accuracy(FrozenModel):
    """Accuracy of a network, shown next to its speed."""

    parity: str = Field(description="result of the parity comparison")
    parity_passed: bool
    masked_tar: float | None = Field(
        description="TAR at FMR 1e-3, masked probe and unmasked template, from the manifest"
    )
    masked_tar_of: str | None = Field(description="precision and pairs of that measurement")


class StageTimes(FrozenModel):
    """Times of one stage from camera to door."""

    summary: Summary | None = Field(description="over frames in which the stage had work")
    per_frame: float = Field(description="mean over all frames")


class NetworkTimes(FrozenModel):
    """The two networks and all other work; mean milliseconds unless noted."""

    detector: Summary | None
    embedder: Summary | None = Field(description="one call, which may contain several faces")
    outside: Summary = Field(description="time of a frame outside the networks")
    outside_share: float = Field(description="share of the time in the pipeline")
    outside_to_one_of_each: float | None = Field(
        description="median outside over the medians of one call of each network"
    )


class EndToEnd(FrozenModel):
    """Times from the camera's timestamp."""

    frame_to_decision: Summary | None
    frame_to_grant: Summary | None = Field(description="newest voting frame to the recorded grant")
    frame_to_relay: Summary | None = Field(
        description="newest voting frame to the switching of the simulated relay"
    )
    first_usable_to_grant: Summary | None = Field(
        description="first usable frame of a person to the recorded grant"
    )
    first_usable_to_relay: Summary | None


class CameraStatistics(FrozenModel):
    frames: int
    rate_fps: float | None
    interval: Summary | None
    jitter: float | None = Field(description="standard deviation of the interval")
    age: Summary | None = Field(description="age of a frame when its processing starts")
    dropped: int = Field(description="frames replaced by newer ones before processing")
    gaps: int = Field(description="intervals of more than one and a half times the median")


class Slope(FrozenModel):
    """Least-squares slope with its 95 % interval."""

    per_hour: float
    low: float
    high: float

    @classmethod
    def fit(cls, at_s: Sequence[float], values: Sequence[float]) -> Slope | None:
        found = statistics.slope(at_s, values)
        return (
            None
            if found is None
            else cls(
                **dict(zip(("per_hour", "low", "high"), (v * 3600 for v in found), strict=True))
            )
        )


class Memory(FrozenModel):
    start_mib: float
    end_mib: float
    peak_mib: float
    slope_mib: Slope | None = Field(description="None if the run was too short")


class Allocations(FrozenModel):
    """Allocations, measured by tracemalloc in a separate pass."""

    frames: int
    peak_kib: float = Field(description="median peak of additional memory of a frame")
    kept_bytes: float = Field(description="mean growth of held memory per frame")
    kept_blocks: float


class MachineSample(FrozenModel):
    """Sample of the machine and of this process."""

    at_s: float
    rss_mib: float
    cpu_percent: float | None = Field(description="CPU of this process, percent of one core")
    clocks_mhz: dict[str, float]
    temperatures_c: dict[str, float]
    rails_w: dict[str, float]
    power_w: float | None
    loads: dict[str, float] = Field(description="percent of each processor, all processes")
    throttled_by: tuple[str, ...] | None
    throttle_events: int | None = Field(description="since the start of the machine")


class Power(FrozenModel):
    mean_w: float
    frames_per_joule: float


class Speed(FrozenModel):
    """Performance of the pipeline."""

    seconds: float
    frames: int
    looked_at: int = Field(description="frames with work; times are over these")
    faces: int
    embedded: int
    throughput_fps: float
    capacity_fps: float = Field(description="capacity: frames per second of processing time")
    cpu_s: float = Field(description="CPU seconds of this process")
    cpu_ms_per_frame: float
    frame: Summary = Field(description="processing time of a frame")
    stages: dict[str, StageTimes]
    networks: NetworkTimes
    end_to_end: EndToEnd
    grants: int
    openings: int = Field(description="grants followed by a switch of the simulated relay")
    power: Power | None


class Throttling(FrozenModel):
    known: bool = Field(description="whether the machine reports throttling")
    by: dict[str, float] = Field(description="share of the samples in which each cause was active")
    events: int | None = Field(description="counted during the measurement")
