"""Times the real pipeline on recorded frames, stage by stage, and what of it the two networks take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.config import Terminal
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
        self.calls: list[float] = []

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        started = time.perf_counter()
        outputs = self._engine.run(batch)
        self.calls.append(time.perf_counter() - started)
        return outputs

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
    outside_networks: float  # share of all time in the pipeline


def random_gallery(templates: int, embedding: int) -> Index:
    """A gallery of random templates, so that a benchmark needs no enrolled people."""
    rows = np.random.default_rng(0).standard_normal((templates, embedding)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Index([f"random-{i}" for i in range(templates)], rows)


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
        engine.calls = []
    laps: list[dict[str, float]] = []
    totals: list[float] = []
    faces = 0
    for number, image in enumerate(images):
        frame = Frame(image, number / 15, number)
        started = time.perf_counter()
        faces += len(pipeline.recognise(frame))
        totals.append(time.perf_counter() - started)
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
        outside_networks=round(1 - sum(sum(e.calls) for e in engines) / sum(totals), 4),
    )
