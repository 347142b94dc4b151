"""From a frame to decisions: detect, align, embed, search, decide. Start reading here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.access import policy
from edge.access.policy import Rules, Votes
from edge.bundle import Calibration
from edge.chip import SIZE, align
from edge.config import Policy as PolicyConfig
from edge.errors import ConfigError
from edge.face.detect import Detector
from edge.face.embed import Embedder
from edge.values import Face, Frame, Match, Probe, Sighting, Thresholds


class Stopwatch:
    """Seconds spent per stage since the last `reset`; a few hundred nanoseconds a lap."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def reset(self) -> dict[str, float]:
        seconds, self.seconds = self.seconds, {}
        return seconds


class Searchable(Protocol):
    """A gallery, or an index of templates alone."""

    def search(self, embedding: NDArray[np.float32]) -> Match | None: ...


class Pipeline:
    """Everything between camera and door. Not for several threads at once."""

    def __init__(self, detector: Detector, embedder: Embedder, gallery: Searchable, rules: Rules, *, min_face_px: int) -> None:
        self.detector = detector
        self.embedder = embedder
        self.gallery = gallery
        self.stopwatch = Stopwatch()
        self._rules = rules
        self._votes = Votes(rules)
        self._min_face_px = min_face_px

    def obey(self, rules: Rules, *, min_face_px: int) -> None:
        """Other rules from the next frame on."""
        self._votes.obey(rules)
        self._rules, self._min_face_px = rules, min_face_px

    def recognise(self, frame: Frame) -> list[Sighting]:
        """What is decided of each face in a frame, best detection first; raises EngineError."""
        faces = self._detect(frame)
        near = [face for face in faces if face.width_px >= self._min_face_px]
        chips = self._align(frame, near)
        probes = self._embed(chips)
        matches = self._search(probes)
        return self._decide(frame, faces, near, chips, probes, matches)

    def withdraw(self, subject: str, again_after_s: float) -> None:
        """Tell the votes that the door did not open, so that the person need not wait for the cooldown."""
        self._votes.withdraw(subject, again_after_s)

    def _detect(self, frame: Frame) -> list[Face]:
        with self.stopwatch.lap("detect"):
            return self.detector.detect(frame.image)

    def _align(self, frame: Frame, faces: Sequence[Face]) -> NDArray[np.uint8]:
        with self.stopwatch.lap("align"):
            chips = [align(frame.image, face.landmarks_xy) for face in faces]
            return np.stack(chips) if chips else np.zeros((0, SIZE, SIZE, 3), np.uint8)

    def _embed(self, chips: NDArray[np.uint8]) -> list[Probe]:
        with self.stopwatch.lap("embed"):
            return self.embedder.embed(chips)

    def _search(self, probes: Sequence[Probe]) -> list[Match | None]:
        with self.stopwatch.lap("search"):
            return [self.gallery.search(probe.embedding) for probe in probes]

    def _decide(
        self,
        frame: Frame,
        faces: Sequence[Face],
        near: Sequence[Face],
        chips: NDArray[np.uint8],
        probes: Sequence[Probe],
        matches: Sequence[Match | None],
    ) -> list[Sighting]:
        with self.stopwatch.lap("decide"):
            sightings = []
            for face, chip, probe, match in zip(near, chips, probes, matches, strict=True):
                decision = policy.judge(match, probe.mask_worn, self._rules, frame.at)
                sightings.append(Sighting(face, chip, probe, self._votes.count(decision)))
            far = [face for face in faces if face.width_px < self._min_face_px]
            return sightings + [Sighting(face, None, None, policy.refuse("too-small", frame.at)) for face in far]


def rules_of(config: PolicyConfig, calibrated: Calibration) -> Rules:
    """The config's rules with the model's thresholds; raises ConfigError where the config would lower one."""
    chosen = {}
    for name, point in (("unmasked", calibrated.unmasked), ("masked", calibrated.masked)):
        wanted = getattr(config, f"threshold_{name}")
        if wanted is not None and wanted < point.threshold:
            raise ConfigError(
                f"policy.threshold_{name}: {wanted} is below the model's own {point.threshold:.4f}; it can only be raised"
            )
        chosen[name] = point.threshold if wanted is None else wanted
    return Rules(Thresholds(**chosen), config.votes, config.window_s, config.margin, config.cooldown_s)
