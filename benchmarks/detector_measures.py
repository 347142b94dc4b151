"""Measurements of the detector on frames: scores, false faces, walk-ups in the pipeline."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_frames import CERTAIN_SCORE, FACE_PX, PlacedFace
from edge.config import TerminalConfig
from edge.engine import Engine
from edge.face.boxes import iou
from edge.face.detect import FaceDetector
from edge.gallery.search import Index
from edge.recogniser.build import open_pipeline
from edge.recogniser.networks import TerminalNetworks
from edge.synthesis.drawing import FPS
from edge.values import Face, FaceResult, Frame, Verdict

_SAME_IOU = 0.3  # from this overlap on a detection is the face that was placed
_NEAR_S = 1.0  # a detection near a certain one of this time is a person


@dataclass(frozen=True, slots=True)
class FoundScore:
    """Scores of a placed face, 0 if it was not found; its landmark error by the eye distance."""

    search: float  # of the full frame with the smaller input
    fine: float  # of the full frame with the larger input
    near: float  # of a search where a track expects the face
    landmark_error: float
    face_px: int  # width


@dataclass(frozen=True, slots=True)
class WalkResult:
    """Frames of a walk-up in which the placed face was found and used, and uses of others."""

    found: tuple[bool, ...]
    used: tuple[bool, ...]
    elsewhere: int
    reasons: Counter[str]  # of the placed face where it was found and not used

    @property
    def first(self) -> int | None:
        return self.used.index(True) if any(self.used) else None


class CachedEngine:
    """Engine that computes each input once, so that rules are compared at low cost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outputs: dict[bytes, dict[str, NDArray[np.float32]]] = {}

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        key = hashlib.blake2b(np.ascontiguousarray(batch).data, digest_size=16).digest()
        if key not in self._outputs:
            found = self._engine.run(batch)
            self._outputs[key] = {name: rows.copy() for name, rows in found.items()}
        return self._outputs[key]

    def close(self) -> None:
        self._engine.close()


def measure_recall(
    placed: Iterable[PlacedFace], detector: FaceDetector, fine: FaceDetector
) -> list[FoundScore]:
    """Return the scores of placed faces by detectors that report weak faces."""
    scores = []
    for one in placed:
        assert one.box_xyxy is not None and one.landmarks_xy is not None
        full = _best(detector.search(one.image, FACE_PX[0]), one.box_xyxy)
        large = _best(fine.search(one.image, FACE_PX[0]), one.box_xyxy)
        close = detector.find_at(one.image, one.box_xyxy)
        near = _best([close] if close is not None else [], one.box_xyxy)
        error = math.nan
        if near is not None:
            eyes = np.linalg.norm(one.landmarks_xy[1] - one.landmarks_xy[0])
            away = np.linalg.norm(near.landmarks_xy - one.landmarks_xy, axis=1).mean()
            error = float(away / eyes)
        found = [face.score if face is not None else 0.0 for face in (full, large, near)]
        width = round(one.box_xyxy[2] - one.box_xyxy[0])
        scores.append(FoundScore(*found, error, width))
    return scores


def _best(faces: Iterable[Face], box: NDArray[np.float64]) -> Face | None:
    same = [face for face in faces if iou(face.box_xyxy, box) >= _SAME_IOU]
    return max(same, key=lambda face: face.score, default=None)


def false_in_clip(found: Sequence[Sequence[Face]], fps: float) -> list[list[float]]:
    """Return the scores of each frame's detections that are of no person.

    A detection near a certain one, within a second, is of a person.
    """
    around, result = round(_NEAR_S * fps), []
    for i, faces in enumerate(found):
        others = (face for each in found[max(0, i - around) : i + around + 1] for face in each)
        certain = [face for face in others if face.score >= CERTAIN_SCORE]
        result.append([face.score for face in faces if not _is_near(face, certain)])
    return result


def _is_near(face: Face, others: Iterable[Face]) -> bool:
    middle = face.box_xyxy.reshape(2, 2).mean(axis=0)
    return any(
        float(np.linalg.norm(middle - other.box_xyxy.reshape(2, 2).mean(axis=0))) < other.width_px
        for other in others
    )


def play(
    frames: Sequence[PlacedFace], config: TerminalConfig, networks: TerminalNetworks
) -> WalkResult:
    """Play a walk-up through the terminal's pipeline with an empty gallery."""
    pipeline = open_pipeline(config, networks, Index())
    found, used, elsewhere = [], [], 0
    reasons: Counter[str] = Counter()
    for number, placed in enumerate(frames):
        results = pipeline.recognise(Frame(placed.image, number / FPS, number))
        assert placed.box_xyxy is not None
        mine = [one for one in results if iou(one.face.box_xyxy, placed.box_xyxy) >= _SAME_IOU]
        usable = [result for result in results if result.is_conclusive and _is_used(result)]
        found.append(bool(mine))
        used.append(any(result in usable for result in mine))
        elsewhere += sum(result not in mine for result in usable)
        reasons.update(str(one.decision.reason.value) for one in mine if one not in usable)
    return WalkResult(tuple(found), tuple(used), elsewhere, reasons)


def _is_used(result: FaceResult) -> bool:
    """Return True if a face was embedded, and not refused by a gate."""
    return result.probe is not None and result.decision.verdict is not Verdict.REFUSED
