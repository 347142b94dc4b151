"""`edge-bench sweep`: cost by precision, threads, detector size, faces and gallery size."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from tqdm import tqdm

from edge.bench import machine
from edge.bench.accumulator import RunStatistics, rounded_series
from edge.bench.accuracy import accuracy_in_use
from edge.bench.interrupt import InterruptHandler
from edge.bench.loop import BenchLoop, ReplayClock
from edge.bench.networks import TimedNetworks, build_gallery, open_timed_networks
from edge.bench.prepare import full_frame_config
from edge.bench.results import NotMeasured, SweepReport, SweepRow
from edge.bench.sources import Image, Source, build_source, digest_images, drawn_source, load_frames
from edge.config import TerminalConfig
from edge.config.recognition import OrtEngineConfig, TrtEngineConfig
from edge.errors import BundleError, ConfigError, EngineError
from edge.recogniser.build import open_pipeline
from edge.values import Frame, Precision

_SERIES = ("frame", "outside")


@dataclass(frozen=True, slots=True)
class Grid:
    """Values to combine."""

    engines: Sequence[str]  # ort, trt
    precisions: Sequence[Precision]
    threads: Sequence[int]
    detectors: Sequence[str]
    faces: Sequence[int]  # empty: the camera's frames
    templates: Sequence[int]
    frames: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Combination:
    """Point of the grid."""

    engine: str
    precision: Precision
    threads: int | None
    detector: str
    faces: int | None = None
    templates: int = 0

    @property
    def networks(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return f"{self.engine} {self.precision}{threads}, {self.detector}"

    def __str__(self) -> str:
        crowd = "" if self.faces is None else f", {self.faces} face{'s' * (self.faces != 1)}"
        return f"{self.networks}{crowd}, {self.templates} templates"


@dataclass(frozen=True, slots=True, eq=False)
class SweepFrames:
    """Frames of a source in memory."""

    source: Source
    images: Sequence[Image]


@dataclass(slots=True, eq=False)
class OpenCombination:
    """Open combination with its pipeline and statistics."""

    combination: Combination
    shown: SweepFrames
    timed: TimedNetworks
    loop: BenchLoop
    clock: ReplayClock
    done: int = 0
    cpu_s: float = 0.0
    tally: RunStatistics = field(default_factory=lambda: RunStatistics(0.0))

    def advance(self, count: int, *, counts: bool = True) -> None:
        """Process some frames; networks are shared, so their times are cleared first."""
        self.loop.reset_clocks()
        worked = time.process_time()
        for _ in range(count):
            at, images = self.done / self.shown.source.fps, self.shown.images
            self.clock.begin(at)
            turn = self.loop.process_frame(Frame(images[self.done % len(images)], at, self.done))
            self.done += 1
            if counts:
                self.tally.add(turn)
        if counts:
            self.cpu_s += time.process_time() - worked


def sweep(config: TerminalConfig, grid: Grid, stop: InterruptHandler) -> SweepReport:
    """Run the sweep; raises CameraError, PhotoError, or ConfigError if nothing can be run."""
    sources: dict[int | None, Source] = {n: drawn_source(n) for n in grid.faces} or {
        None: build_source(config.camera)
    }
    shown = {
        faces: SweepFrames(source, load_frames(source, grid.frames))
        for faces, source in sources.items()
    }
    refused: list[NotMeasured] = []
    with contextlib.ExitStack() as closing:
        entries = list(_open(config, grid, shown, refused, closing))
        if not entries:
            raise ConfigError(
                "no combination can be run here: "
                f"{'; '.join(f'{r.name}: {r.why}' for r in refused)}"
            )
        chunk = max(1, grid.frames // grid.rounds)
        for entry in tqdm(
            entries, desc="warming up", unit="combination", leave=False, disable=None
        ):
            entry.advance(chunk, counts=False)
        done = _take_turns(entries, grid.rounds, chunk, stop)
        rows = tuple(_row(entry) for entry in entries)
        model = entries[0].timed.networks.bundle.model_digest
    return SweepReport(
        made_at=machine.now(),
        machine=machine.describe_this_machine(),
        source=", ".join(one.source.name for one in shown.values()),
        frames=None
        if any(one.source.live for one in shown.values())
        else digest_images([i for s in shown.values() for i in s.images]),
        model=model,
        rounds=done,
        rows=rows,
        refused=tuple(refused),
    )


def _take_turns(
    entries: Sequence[OpenCombination], rounds: int, chunk: int, stop: InterruptHandler
) -> int:
    """Run in turns; return the number of complete rounds, at least one."""
    for number in tqdm(range(rounds), desc="measuring", unit="round", leave=False, disable=None):
        for entry in entries:
            entry.advance(chunk)
        if stop:
            return number + 1
    return rounds


def _open(
    config: TerminalConfig,
    grid: Grid,
    shown: dict[int | None, SweepFrames],
    refused: list[NotMeasured],
    closing: contextlib.ExitStack,
) -> Iterator[OpenCombination]:
    """Yield what can be run; networks are opened once for all faces and galleries."""
    for engine, precision, detector in product(grid.engines, grid.precisions, grid.detectors):
        for threads in grid.threads if engine == "ort" else (None,):
            plain = Combination(engine, precision, threads, detector)
            try:
                timed = open_timed_networks(_configure(config, plain))
            except (BundleError, EngineError, ConfigError) as error:
                refused.append(NotMeasured(name=plain.networks, why=str(error)))
                continue
            closing.callback(timed.networks.close)
            for faces, templates in product(shown, grid.templates):
                yield _entry(
                    config, replace(plain, faces=faces, templates=templates), timed, shown[faces]
                )


def _entry(
    config: TerminalConfig, what: Combination, timed: TimedNetworks, shown: SweepFrames
) -> OpenCombination:
    gallery = build_gallery(
        timed.networks, shown.images[:30:5], what.templates, config.detector.min_face_px
    )
    clock = ReplayClock()
    return OpenCombination(
        what,
        shown,
        timed,
        BenchLoop(open_pipeline(config, timed.networks, gallery), timed, clock=clock),
        clock,
    )


def _configure(config: TerminalConfig, what: Combination) -> TerminalConfig:
    """Return the configuration of a combination; raises ConfigError for an unknown precision."""
    if what.engine == "trt":
        section: TrtEngineConfig | OrtEngineConfig = TrtEngineConfig(
            kind="trt", precision=what.precision
        )
    elif what.precision == "fp16":
        raise ConfigError("FP16 is for TensorRT: a CPU only converts it")
    else:
        section = OrtEngineConfig(threads=what.threads or 1, precision=what.precision)
    return full_frame_config(config, what.detector).model_copy(update={"engine": section})


def _row(entry: OpenCombination) -> SweepRow:
    networks, what = entry.tally.networks(), entry.combination
    return SweepRow(
        name=str(what),
        engine=what.engine,
        precision=what.precision,
        threads=what.threads,
        detector=what.detector,
        faces=what.faces,
        templates=what.templates,
        frame=entry.tally.frame(),
        outside=networks.outside,
        detector_network=networks.detector,
        embedder_network=networks.embedder,
        cpu_ms_per_frame=round(entry.cpu_s / entry.tally.frames * 1000, 3),
        accuracy=accuracy_in_use(entry.timed.networks),
        series=rounded_series(
            {name: ms for name, ms in entry.tally.series().items() if name in _SERIES}
        ),
    )
