"""Prepares a benchmark: warm networks, a gallery of all people in the frames, a log folder."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from edge.audit.writer import AuditLogWriter
from edge.bench import machine
from edge.bench.door import BenchDoor
from edge.bench.loop import BenchLoop, ReplayClock
from edge.bench.networks import TimedNetworks, build_gallery, open_timed_networks
from edge.bench.quantities import Conditions
from edge.bench.sources import Image, Source, digest_images, read_frames
from edge.config import TerminalConfig
from edge.gallery.search import Index
from edge.recogniser.build import open_pipeline
from edge.values import Frame

_SEEN_MOST = 3000  # frames of a recording that are searched for people (every fifth)
_SEEN_LIVE = 45  # of a camera
_WARM_FRAMES = 20


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of a measurement."""

    duration_s: float | None  # None: to the end of a recording, else 30 s
    warm_up_s: float
    templates: int
    door: bool  # send grants to a door process
    flat_out: int  # frames without pacing; 0: the camera's pace
    sample_interval_s: float  # of the machine
    allocation_frames: int  # 0: without that pass


@dataclass(frozen=True, slots=True, eq=False)
class PreparedBench:
    """A prepared measurement."""

    config: TerminalConfig
    source: Source
    options: BenchOptions
    timed: TimedNetworks
    gallery: Index
    warm: Sequence[Image]
    folder: Path

    def loop(
        self,
        *,
        door: BenchDoor | None = None,
        record: AuditLogWriter | None = None,
        virtual: ReplayClock | None = None,
    ) -> BenchLoop:
        """Return a loop with a fresh pipeline."""
        pipeline = open_pipeline(self.config, self.timed.networks, self.gallery)
        return BenchLoop(pipeline, self.timed, record, door, virtual or time.monotonic)

    def conditions(self, door: str) -> Conditions:
        networks, config = self.timed.networks, self.config
        height, width = self.warm[0].shape[:2]
        return Conditions(
            source=self.source.name,
            frames=None if self.source.live else digest_images(self.warm),
            pace="flat out" if self.options.flat_out else "camera",
            frame_size=f"{width}x{height}",
            engine=networks.engine,
            precision=networks.precision,
            threads=getattr(config.engine, "threads", None) if networks.engine == "ort" else None,
            detector=f"{config.detector.input_size}, every {config.detector.search_interval_s:g} s",
            templates=self.gallery.templates,
            model=networks.bundle.model_digest,
            liveness=config.liveness.kind,
            door=door,
            record_on=machine.file_system(self.folder),
        )


def full_frame_config(config: TerminalConfig, size: str) -> TerminalConfig:
    """Return a configuration that searches every frame completely with this detector input."""
    return config.model_copy(
        update={
            "detector": config.detector.model_copy(
                update={"input_size": size, "search_interval_s": 0.0}
            )
        }
    )


@contextlib.contextmanager
def open_bench(
    config: TerminalConfig, source: Source, options: BenchOptions
) -> Iterator[PreparedBench]:
    """Prepare; raises BundleError, EngineError, CameraError or ConfigError."""
    timed = open_timed_networks(config)
    try:
        warm = list(read_frames(source, _WARM_FRAMES))
        seen = islice(
            read_frames(source, _SEEN_MOST if source.recorded else _SEEN_LIVE), 0, None, 5
        )
        gallery = build_gallery(
            timed.networks, seen, options.templates, config.detector.min_face_px
        )
        with _folder(config.state) as folder:
            bench = PreparedBench(config, source, options, timed, gallery, warm, folder)
            _warm_up(bench)
            yield bench
    finally:
        timed.networks.close()


@contextlib.contextmanager
def _folder(state: Path) -> Iterator[Path]:
    """Return a folder on the disk of the state folder if possible: the disk determines the cost."""
    try:
        made = tempfile.TemporaryDirectory(prefix=".bench-", dir=state)
    except OSError:
        made = tempfile.TemporaryDirectory(prefix="edge-bench-")
    with made as path:
        yield Path(path)


def _warm_up(bench: PreparedBench) -> None:
    loop = bench.loop()
    until = time.monotonic() + bench.options.warm_up_s
    for number, image in enumerate(cycle(bench.warm)):
        loop.pipeline.recognise(Frame(image, number / bench.source.fps, number))
        if time.monotonic() >= until and number + 1 >= len(bench.warm):
            break
    loop.reset_clocks()
