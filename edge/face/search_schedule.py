"""Schedules full-frame detection; between runs only undecided tracks are re-detected."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.face.boxes import iou
from edge.face.detect import FaceDetector
from edge.values import Face, Frame, Zone

_EARLY_S = 0.01  # tolerance: frames do not arrive to the millisecond
_SAME_IOU = 0.5  # from this overlap on two findings are the same face


class SearchScheduler:
    """Decides how much of each frame is searched. Frames come in order of time."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._searched_at = -math.inf
        self._searched = False  # True if the previous frame was searched completely

    def detect(
        self,
        frame: Frame,
        expected: Iterable[NDArray[np.floating]],
        *,
        search_interval_s: float,
        min_face_px: float,
        zone: Zone,
    ) -> list[Face]:
        """Return the faces in the zone, of at least `min_face_px`; raises EngineError.

        The frame is searched completely once per `search_interval_s`. In between only the boxes
        (4,) where faces are `expected` are searched, and the complete frame if one is not found.
        """
        if frame.at - self._searched_at < search_interval_s - _EARLY_S:
            searched = [self._detector.find_at(frame.image, box) for box in expected]
            found = [face for face in searched if face is not None]
            if len(found) == len(searched):
                self._searched = False
                return _distinct(found)
        self._searched, self._searched_at = True, frame.at
        return self._detector.search(frame.image, min_face_px, zone)

    def refine(self, frame: Frame, face: Face) -> Face:
        """Return a face of the last `detect` with exact landmarks; raises EngineError."""
        return self._detector.refine(frame.image, face) if self._searched else face


def _distinct(faces: list[Face]) -> list[Face]:
    """Remove duplicates; best score first."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(iou(face.box_xyxy, other.box_xyxy) < _SAME_IOU for other in kept):
            kept.append(face)
    return kept
