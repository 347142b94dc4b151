"""When the picture is searched: every so often, and in between nobody is looked at but who is not decided yet."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.face.boxes import iou
from edge.face.detect import FaceDetector
from edge.values import Face, Frame, Zone

_EARLY_S = 0.01  # frames do not come to the millisecond
_SAME_IOU = 0.5  # two looks from which on they found one face


class SearchScheduler:
    """Decides of each frame how much of it the detector sees. Frames come in order of time."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._searched_at = -math.inf
        self._searched = False  # the last frame

    def detect(
        self,
        frame: Frame,
        expected: Iterable[NDArray[np.floating]],
        *,
        search_interval_s: float,
        min_face_px: float,
        zone: Zone,
    ) -> list[Face]:
        """The faces of a frame's zone that are at least so wide, all of them once every `every_s`.

        In between those that are where they are `expected`, boxes (4,), and all again where one of them is not. Raises EngineError.
        """
        if frame.at - self._searched_at < search_interval_s - _EARLY_S:
            looks = [self._detector.find_at(frame.image, box) for box in expected]
            found = [face for face in looks if face is not None]
            if len(found) == len(looks):
                self._searched = False
                return _distinct(found)
        self._searched, self._searched_at = True, frame.at
        return self._detector.search(frame.image, min_face_px, zone)

    def refine(self, frame: Frame, face: Face) -> Face:
        """A face that the last `see` has found, as exactly as can be; raises EngineError."""
        return self._detector.refine(frame.image, face) if self._searched else face


def _distinct(faces: list[Face]) -> list[Face]:
    """Best score first; of two that are one, the better."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(iou(face.box_xyxy, other.box_xyxy) < _SAME_IOU for other in kept):
            kept.append(face)
    return kept
