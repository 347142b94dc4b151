"""The terminal's networks with a clock on each call, and a gallery in which everybody who is seen is known."""

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

_SUBJECTS_MOST = 50  # of those seen in a source


class Calls:
    """Seconds of each call of the engines of one role."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def take(self) -> list[float]:
        """Those since the last `take`."""
        seconds, self._seconds = self._seconds, []
        return seconds


class TimedEngine:
    """An engine whose calls are noted."""

    def __init__(self, engine: Engine, calls: Calls) -> None:
        self._engine, self._calls = engine, calls

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        started = time.perf_counter()
        outputs = self._engine.run(batch)
        self._calls.add(time.perf_counter() - started)
        return outputs

    def close(self) -> None:
        self._engine.close()


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """The networks of a config and the clocks on them."""

    networks: TerminalNetworks
    detector: Calls
    embedder: Calls


def open_timed(config: TerminalConfig) -> Timed:
    """Raises BundleError or EngineError."""
    calls = {DETECTOR: Calls(), EMBEDDER: Calls()}
    networks = open_networks(config, lambda engine, role: TimedEngine(engine, calls[role]))
    return Timed(networks, calls[DETECTOR], calls[EMBEDDER])


def random_templates(count: int, embedding: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors (count,embedding) in all directions."""
    rows = np.random.default_rng(seed).standard_normal((count, embedding), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def gallery_of(
    networks: TerminalNetworks, images: Iterable[Image], templates: int, min_face_px: int
) -> Index:
    """Random templates, and as many as it takes of everybody in some pictures, so that they are recognised and let in.

    Whoever is not like anybody before is another subject. Random templates make way, so that the total is as asked.
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
