"""Networks with timed calls, and a gallery that contains all people in the frames."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.bench.sources import Image
from edge.chip import align
from edge.config import TerminalConfig
from edge.engine import Engine
from edge.gallery.search import Index
from edge.recogniser.networks import DETECTOR, EMBEDDER, TerminalNetworks, open_networks

_SUBJECTS_MOST = 50  # people of a source


class CallTimes:
    """Times of the calls of one network, seconds."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def take(self) -> list[float]:
        """Return and clear the times."""
        seconds, self._seconds = self._seconds, []
        return seconds


class TimedEngine:
    """Engine that records the time of each call."""

    def __init__(self, engine: Engine, calls: CallTimes) -> None:
        self._engine, self._calls = engine, calls

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        started = time.perf_counter()
        outputs = self._engine.run(batch)
        self._calls.add(time.perf_counter() - started)
        return outputs

    def close(self) -> None:
        self._engine.close()


@dataclass(frozen=True, slots=True, eq=False)
class TimedNetworks:
    """Networks of a configuration and the times of their calls."""

    networks: TerminalNetworks
    detector: CallTimes
    embedder: CallTimes


def open_timed_networks(config: TerminalConfig) -> TimedNetworks:
    """Open the networks with timers; raises BundleError or EngineError."""
    calls = {DETECTOR: CallTimes(), EMBEDDER: CallTimes()}
    networks = open_networks(config, lambda engine, role: TimedEngine(engine, calls[role]))
    return TimedNetworks(networks, calls[DETECTOR], calls[EMBEDDER])


def random_templates(count: int, embedding: int, seed: int = 0) -> NDArray[np.float32]:
    """Return random unit vectors (count,embedding)."""
    rows = np.random.default_rng(seed).standard_normal((count, embedding), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def build_gallery(
    networks: TerminalNetworks, images: Iterable[Image], templates: int, min_face_px: int
) -> Index:
    """Build a gallery of random templates and of all people in some pictures.

    A face unlike all earlier ones is a new subject. The total is the requested number.
    """
    rows = random_templates(templates, networks.bundle.manifest.embedding)
    names: list[str] = []
    seen: list[NDArray[np.float32]] = []
    for image in tqdm(images, desc="who is there", unit="frame", leave=False, disable=None):
        for face in networks.detector.detect(image):
            if face.width_px < min_face_px or len(names) >= min(_SUBJECTS_MOST, templates):
                continue
            (probe,) = networks.embedder.embed(align(image, face.landmarks_xy)[None])
            known = (
                Index.from_templates(names, np.stack(seen)).search(probe.embedding)
                if seen
                else None
            )
            if known is None or known.score < networks.calibration.same_person:
                names.append(f"seen-{len(set(names))}")
            elif known.score < max(
                networks.calibration.unmasked.threshold, networks.calibration.masked.threshold
            ):
                names.append(known.subject)
            else:
                continue
            seen.append(probe.embedding)
    others = templates - len(seen)
    return Index.from_templates(
        names + [f"random-{i}" for i in range(others)],
        np.concatenate([*(s[None] for s in seen), rows[:others]]),
    )
