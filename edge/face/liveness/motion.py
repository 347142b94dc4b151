"""Layer `motion`: no frame comes twice, and a face changes as no photo does.

A stream whose frames repeat is refused as `frozen`. A photo that is held or moved about gives looks that an affine motion makes
alike again; a face has blinks, lips and depth: who shows none of it within some seconds is refused as `no-motion`, until they do.

Measured with `mfsa-pad`: eight recordings of living people, who walk up, turn their heads or stand at a terminal's distance: all
passed. Portraits moved about with a camera's noise on them, on paper and in a drawn tablet, 8 s each: none passed; drawn attacks
test the plumbing and are no detection rate. Likeness of looks half a second and a second apart, clip by clip: living least 0.00
to 0.96, median 0.81 to 0.996; drawn photo never below 0.997, drawn tablet never below 0.993; hence `rigid` = 0.98. It never stops a
video of the person, nor a mask of their face. 1 ms a look.
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

_STEP = 4  # every so many rows and columns of a frame are compared
_SAME = 0.02  # grey levels, mean: less is the same frame; a recording of a room at rest was found to change by 0.07
_FROZEN_S = 0.5  # some cameras deliver a frame twice
_LOOP_S = 30.0  # longer loops are not seen
_CAME_AGAIN = 2  # frames in a row

_EVERY_S = 0.06
_STEADY = 0.6  # widths of the face per second; what moves faster is smeared, and no chips of it are compared
_LAGS_S = (0.5, 1.0)
_KEPT_S = 2.0
_SIZE = 56
_SHRINK = 1.2  # pixels of the frame per pixel of the chip
_FACE = cv2.ellipse(np.zeros((_SIZE, _SIZE), np.uint8), (28, 34), (18, 23), 0, 0, 360, 255, -1)
_SEARCH = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)
_CORNERS = np.array([[0, 0], [0, SIZE], [SIZE, 0], [SIZE, SIZE]])
_SIGNS = 2  # looks that differ as only a face does
_BREAK = 0.8  # less alike is not the same face: it was covered, turned away or exchanged


@dataclass(frozen=True, slots=True, eq=False)
class _MotionSample:
    at: float
    middle: NDArray[np.float32]  # of the face: x and y, in pixels
    detail: NDArray[np.float32] | None  # None where it cannot be compared


class MotionLiveness:
    """One track. `rigid`: the correlation from which on two looks differ no more than those of a photo; `seconds` to show it."""

    name = "motion"

    def __init__(self, *, seconds: float = 3.0, rigid: float = 0.98) -> None:
        self._seconds, self._rigid = seconds, rigid
        self._repeats = _Repeats()
        self._frozen = self._cut_off = False
        self._begin_again(math.inf)

    def _begin_again(self, at: float) -> None:
        self._since = at
        self._seen: deque[_MotionSample] = deque()
        self._signs: deque[float] = deque(maxlen=_SIGNS)

    def observe(self, look: LivenessFrame) -> None:
        self._frozen = self._repeats.see(look.image, look.at)
        if self._frozen or math.isinf(self._since):
            self._begin_again(look.at)
        if self._seen and look.at - self._seen[-1].at < _EVERY_S:
            return
        middle = look.face.box_xyxy.reshape(2, 2).mean(axis=0)
        self._cut_off = not _is_whole(look)
        usable = self._is_steady(middle, look) and not self._cut_off
        detail = _detail(look) if usable else None
        if detail is not None:
            self._compare(look.at, detail)
        self._seen.append(_MotionSample(look.at, middle, detail))
        while look.at - self._seen[0].at > _KEPT_S:
            self._seen.popleft()

    def _is_steady(self, middle: NDArray[np.float32], look: LivenessFrame) -> bool:
        if not self._seen:
            return True
        last = self._seen[-1]
        return float(np.linalg.norm(middle - last.middle)) <= _STEADY * look.face.width_px * (
            look.at - last.at
        )

    def _compare(self, at: float, detail: NDArray[np.float32]) -> None:
        alike = [_likeness(earlier, detail) for earlier in self._references(at)]
        if alike and max(alike) < _BREAK:
            self._begin_again(at)
        elif alike and min(alike) < self._rigid:
            self._signs.append(at)

    def _references(self, at: float) -> list[NDArray[np.float32]]:
        """The newest look that can be compared and is old enough, for each lag."""
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
    """Whether the frames of a stream come again."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None
        self._changed_at = 0.0
        self._seen: dict[bytes, float] = {}
        self._came_again = 0

    def see(self, image: NDArray[np.uint8], at: float) -> bool:
        """True where the stream stands still or runs in a loop by now."""
        sample = np.ascontiguousarray(image[::_STEP, ::_STEP])
        last, self._last = self._last, sample
        if (
            last is None
            or last.shape != sample.shape
            or cv2.norm(last, sample, cv2.NORM_L1) >= _SAME * sample.size
        ):
            digest = hashlib.blake2b(sample.tobytes(), digest_size=16).digest()
            self._came_again = self._came_again + 1 if digest in self._seen else 0
            self._seen = {
                digest: seen_at for digest, seen_at in self._seen.items() if at - seen_at <= _LOOP_S
            }
            self._seen[digest] = self._changed_at = at
        return at - self._changed_at >= _FROZEN_S or self._came_again >= _CAME_AGAIN


def _is_whole(look: LivenessFrame) -> bool:
    """Whether the frame cuts nothing off the chip: what is black there would come and go."""
    to_frame = invert(similarity(look.face.landmarks_xy, REFERENCE_XY))
    corners = _CORNERS @ to_frame[:, :2].T + to_frame[:, 2]
    return bool((corners >= 0).all() and (corners < look.image.shape[1::-1]).all())


def _detail(look: LivenessFrame) -> NDArray[np.float32]:
    """The face as (56,56): without light and shade, and without the finest noise."""
    grey = cv2.resize(
        cv2.cvtColor(_chip(look), cv2.COLOR_BGR2GRAY), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA
    )
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    return np.asarray(smooth - cv2.GaussianBlur(smooth, (0, 0), 8.0), np.float32)


def _chip(look: LivenessFrame) -> NDArray[np.uint8]:
    """The look's chip, or for a near face one that is made smaller first: what is left out of it must not decide."""
    shrink = look.face.width_px / SIZE
    if shrink <= _SHRINK:
        return look.chip
    x0, y0 = np.maximum(look.face.landmarks_xy.min(axis=0) - look.face.width_px, 0).astype(int)
    x1, y1 = (look.face.landmarks_xy.max(axis=0) + look.face.width_px).astype(int)
    small = cv2.resize(
        look.image[y0:y1, x0:x1], None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA
    )
    return align(np.asarray(small, np.uint8), (look.face.landmarks_xy - (x0, y0)) / shrink)


def _likeness(earlier: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """The correlation within the face after the affine motion that makes it highest; 0 where none can be found."""
    try:
        found, _ = cv2.findTransformECC(
            earlier, now, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, _SEARCH, _FACE, 1
        )
    except cv2.error:  # the two have nothing in common
        return 0.0
    return float(found)
