"""Layer `motion`: the frames do not repeat, and the face does not move like a photo.

A stream whose frames repeat is refused as `frozen`. Two frames of a photo that is held or moved
differ by an affine motion only. A living face has blinks, lips and depth: without any such sign
within some seconds it is refused as `no-motion`, until there is one.

Measured with `mfsa-pad`: eight recordings of living people passed, who walk up, turn their heads or
stand at a terminal's distance. Portraits moved with a camera's noise on them, on paper and in a
drawn tablet, 8 s each, did not pass. Drawn attacks are no detection rate. Correlation of frames
half a second and a second apart, by clip: living people minimum 0.00 to 0.96, median 0.81 to 0.996;
drawn photos never below 0.997, drawn tablets never below 0.993; hence `rigid` = 0.98. The layer
never stops a video of the person, nor a mask of their face. 1 ms per frame.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.access.reasons import Reason
from edge.chip import REFERENCE_XY, SIZE, align, invert, similarity
from edge.face.liveness import LivenessFrame, LivenessResult, LivenessState

_STEP = 4  # rows and columns between the compared pixels
_SAME = 0.02  # mean grey levels below which frames are equal; an empty room changes by 0.07
_FROZEN_S = 0.5  # longer than the pause of cameras that deliver a frame twice
_LOOP_S = 30.0  # longer loops are not detected
_REPEATED = 2  # frames in a row that came before

_EVERY_S = 0.06
_STEADY = 0.6  # widths of the face per second; faster faces are blurred and not compared
_LAGS_S = (0.5, 1.0)
_KEPT_S = 2.0
_SIZE = 56
_SHRINK = 1.2  # pixels of the frame per pixel of the chip
_FACE = cv2.ellipse(np.zeros((_SIZE, _SIZE), np.uint8), (28, 34), (18, 23), 0, 0, 360, 255, -1)
_SEARCH = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)
_CORNERS = np.array([[0, 0], [0, SIZE], [SIZE, 0], [SIZE, SIZE]])
_SIGNS = 2  # frames that differ as only a living face does
_BREAK = 0.8  # lower correlation: the face was covered, turned away or exchanged


@dataclass(frozen=True, slots=True, eq=False)
class _MotionSample:
    at: float
    middle: NDArray[np.float32]  # (2,) centre of the face, in pixels
    detail: NDArray[np.float32] | None  # (56,56); None if it cannot be compared


class MotionLiveness:
    """Motion of one track.

    `rigid`: correlation from which two frames differ no more than those of a photo. `seconds`:
    time within which a sign of life must be shown.
    """

    name = "motion"

    def __init__(self, *, seconds: float = 3.0, rigid: float = 0.98) -> None:
        self._seconds, self._rigid = seconds, rigid
        self._repeats = _Repeats()
        self._frozen = self._cut_off = False
        self._restart(math.inf)

    def _restart(self, at: float) -> None:
        self._since = at
        self._seen: deque[_MotionSample] = deque()
        self._signs: deque[float] = deque(maxlen=_SIGNS)

    def observe(self, frame: LivenessFrame) -> None:
        self._frozen = self._repeats.add(frame.image, frame.at)
        if self._frozen or math.isinf(self._since):
            self._restart(frame.at)
        if self._seen and frame.at - self._seen[-1].at < _EVERY_S:
            return
        middle = frame.face.box_xyxy.reshape(2, 2).mean(axis=0)
        self._cut_off = not _is_inside(frame)
        usable = self._is_steady(middle, frame) and not self._cut_off
        detail = _detail(frame) if usable else None
        if detail is not None:
            self._compare(frame.at, detail)
        self._seen.append(_MotionSample(frame.at, middle, detail))
        while frame.at - self._seen[0].at > _KEPT_S:
            self._seen.popleft()

    def _is_steady(self, middle: NDArray[np.float32], frame: LivenessFrame) -> bool:
        if not self._seen:
            return True
        last = self._seen[-1]
        return float(np.linalg.norm(middle - last.middle)) <= _STEADY * frame.face.width_px * (
            frame.at - last.at
        )

    def _compare(self, at: float, detail: NDArray[np.float32]) -> None:
        alike = [_correlation(earlier, detail) for earlier in self._references(at)]
        if alike and max(alike) < _BREAK:
            self._restart(at)
        elif alike and min(alike) < self._rigid:
            self._signs.append(at)

    def _references(self, at: float) -> list[NDArray[np.float32]]:
        """Return the newest comparable frame that is old enough, for each lag."""
        found = []
        for lag in _LAGS_S:
            old = [
                seen.detail
                for seen in self._seen
                if seen.detail is not None and at - seen.at >= lag - 1e-6
            ]
            found += old[-1:]
        return found

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        if self._frozen:
            return LivenessResult(LivenessState.FAILED, Reason.FROZEN, at)
        if len(self._signs) == _SIGNS and at - self._signs[0] <= self._seconds:
            return LivenessResult(LivenessState.PASSED, since=self._since)
        if self._cut_off:
            return LivenessResult(LivenessState.WAITING, Reason.OFF_CENTRE, self._since)
        if at - self._since >= self._seconds:
            return LivenessResult(LivenessState.FAILED, Reason.NO_MOTION, self._since)
        return LivenessResult(LivenessState.WAITING, Reason.CHECKING, self._since)


class _Repeats:
    """Detector of repeated frames in a stream."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._changed_at = 0.0
        self._seen: dict[bytes, float] = {}
        self._repeated = 0

    def add(self, image: NDArray[np.uint8], at: float) -> bool:
        """Add a frame; return True if the stream is frozen or loops."""
        sample = np.ascontiguousarray(image[::_STEP, ::_STEP])
        last, self._last = self._last, sample
        if (
            last is None
            or last.shape != sample.shape
            or cv2.norm(last, sample, cv2.NORM_L1) >= _SAME * sample.size
        ):
            digest = hashlib.blake2b(sample.tobytes(), digest_size=16).digest()
            self._repeated = self._repeated + 1 if digest in self._seen else 0
            self._seen = {
                digest: seen_at for digest, seen_at in self._seen.items() if at - seen_at <= _LOOP_S
            }
            self._seen[digest] = self._changed_at = at
        return at - self._changed_at >= _FROZEN_S or self._repeated >= _REPEATED


def _is_inside(frame: LivenessFrame) -> bool:
    """Return True if the chip is completely inside the frame: a black border would flicker."""
    to_frame = invert(similarity(frame.face.landmarks_xy, REFERENCE_XY))
    corners = _CORNERS @ to_frame[:, :2].T + to_frame[:, 2]
    return bool((corners >= 0).all() and (corners < frame.image.shape[1::-1]).all())


def _detail(frame: LivenessFrame) -> NDArray[np.float32]:
    """Return the details of a face (56,56), without shading and without the finest noise."""
    grey = cv2.resize(
        cv2.cvtColor(_chip(frame), cv2.COLOR_BGR2GRAY), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA
    )
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    return np.asarray(smooth - cv2.GaussianBlur(smooth, (0, 0), 8.0), np.float32)


def _chip(frame: LivenessFrame) -> NDArray[np.uint8]:
    """Return the chip; of a near face one from a smaller frame, without aliasing."""
    shrink = frame.face.width_px / SIZE
    if shrink <= _SHRINK:
        return frame.chip
    x0, y0 = np.maximum(frame.face.landmarks_xy.min(axis=0) - frame.face.width_px, 0).astype(int)
    x1, y1 = (frame.face.landmarks_xy.max(axis=0) + frame.face.width_px).astype(int)
    small = cv2.resize(
        frame.image[y0:y1, x0:x1], None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA
    )
    return align(np.asarray(small, np.uint8), (frame.face.landmarks_xy - (x0, y0)) / shrink)


def _correlation(earlier: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Return the correlation of two faces after the best affine motion; 0 without one."""
    try:
        found, _ = cv2.findTransformECC(
            earlier, now, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, _SEARCH, _FACE, 1
        )
    except cv2.error:  # no motion aligns the two
        return 0.0
    return float(found)
