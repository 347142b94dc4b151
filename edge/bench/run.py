"""Times the real pipeline on recorded frames, stage by stage, and what of it the two networks take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.config import Terminal
from edge.demo.portraits import COLLINS, load_portrait
from edge.engine import Engine
from edge.errors import CameraError
from edge.gallery.search import Index
from edge.networks import open_networks
from edge.pipeline import open_pipeline
from edge.values import Frame

STAGES = ("detect", "track", "look", "embed", "search", "decide")


class TimedEngine:
    """An engine that notes the seconds of each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since = 0
        self.calls: list[float] = []

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        started = time.perf_counter()
        outputs = self._engine.run(batch)
        self.calls.append(time.perf_counter() - started)
        return outputs

    def take(self) -> float:
        """Seconds of the calls since the last `take`."""
        since, self._since = self._since, len(self.calls)
        return sum(self.calls[since:])

    def close(self) -> None:
        self._engine.close()


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds over all frames."""

    median: float
    mean: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        ms = np.asarray(seconds) * 1000
        return cls(*(round(float(v), 3) for v in (np.median(ms), ms.mean(), np.percentile(ms, 99)))) if ms.size else cls(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Result:
    frames: int
    faces: int
    gallery: int
    engine: str
    threads: int  # of ONNX Runtime
    stages: dict[str, Timing]
    frame: Timing
    detector_network: Timing
    embedder_network: Timing  # per call; one chip a call where one face is in view
    outside: Timing  # everything but the networks
    outside_networks: float  # its share of all time in the pipeline


def random_gallery(templates: int, embedding: int) -> Index:
    """A gallery of random templates, so that a benchmark needs no enrolled people."""
    rows = np.random.default_rng(0).standard_normal((templates, embedding)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Index.of([f"random-{i}" for i in range(templates)], rows)


def crowd(faces: int, frames: int) -> list[NDArray[np.uint8]]:
    """Frames (480,640,3) with up to six faces, drawn from a public-domain portrait, that move a little and have noise on them.

    Raises PhotoError where the portrait is not installed.
    """
    portrait = load_portrait(COLLINS)[40:240, 120:320]
    rng = np.random.default_rng(0)
    drawn = []
    for number in range(frames):
        frame = np.full((480, 640, 3), 120.0)
        for i in range(faces):
            x, y = 8 + 210 * (i % 3) + number % 5, 20 + 225 * (i // 3) + number % 3
            frame[y : y + 200, x : x + 200] = portrait
        drawn.append(np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8))
    return drawn


def bench(config: Terminal, images: Sequence[NDArray[np.uint8]], *, templates: int, warm_up: int = 20) -> Result:
    """Run every image through the pipeline once, after a warm-up; raises CameraError where there are none."""
    if not images:
        raise CameraError("no frames to measure with; check `camera.path`")
    engines: list[TimedEngine] = []

    def timed(engine: Engine) -> Engine:
        engines.append(TimedEngine(engine))
        return engines[-1]

    networks = open_networks(config, timed)
    pipeline = open_pipeline(config, networks, random_gallery(templates, networks.bundle.manifest.embedding))
    for image in images[:warm_up]:
        pipeline.recognise(Frame(image, 0.0, 0))
    pipeline.stopwatch.reset()
    for engine in engines:
        engine.calls.clear()
        engine.take()
    laps: list[dict[str, float]] = []
    totals: list[float] = []
    outside: list[float] = []
    faces = 0
    for number, image in enumerate(images):
        frame = Frame(image, number / 15, number)
        started = time.perf_counter()
        faces += len(pipeline.recognise(frame))
        totals.append(time.perf_counter() - started)
        outside.append(totals[-1] - sum(engine.take() for engine in engines))
        laps.append(pipeline.stopwatch.reset())
    return Result(
        frames=len(images),
        faces=faces,
        gallery=templates,
        engine=str(networks),
        threads=getattr(config.engine, "threads", 0),
        stages={stage: Timing.of([lap.get(stage, 0.0) for lap in laps]) for stage in STAGES},
        frame=Timing.of(totals),
        detector_network=Timing.of(engines[0].calls),
        embedder_network=Timing.of(engines[1].calls),
        outside=Timing.of(outside),
        outside_networks=round(sum(outside) / sum(totals), 4),
    )
