"""Layer `screen`: a face that is shown on something: in a rectangle that moves with it, or in a pattern of pixels.

Conservative: what is seen must be seen in most looks of some seconds, and a rectangle must move with the face, as the frame of
a door does not. Measured with `mfsa-pad`: eight recordings of living people, none refused; a drawn tablet in a hand, refused after
a second. That tests the plumbing and is no detection rate: a screen without a border, sharp enough for its pixels not to be seen,
passes. 0 to 5 ms a look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.access.reasons import Reason
from edge.face.liveness import LivenessFrame, LivenessResult, LivenessState
from edge.face.liveness.rectangle import around
from edge.values import Face

_EVERY_S = 0.15
_FEWEST = 5  # looks
_SHARE = 0.6  # of the looks that must agree

# Pattern: a square of the raw frame in the middle of the face, and its spectrum.
_PATCH = 48  # pixels
_WINDOW = np.outer(np.hanning(_PATCH), np.hanning(_PATCH)).astype(np.float32)
_BAND = (0.15, 0.45)  # cycles per pixel; below is the face itself
_PEAK = 50.0  # times what lies beside it

# Rectangle
_CLOSED = 0.7  # of each side that must be seen
_MOVED = 0.05  # widths of the face, median deviation: less does not show whether the rectangle moves along


def _neighbours() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each place (N,) of the band in a spectrum: what lies beside it along the row and along the column, (N,24)."""
    frequency = np.fft.fftfreq(_PATCH)
    distance = np.hypot(frequency[:, None], frequency[None])
    row, column = np.nonzero(
        (distance >= _BAND[0]) & (distance < _BAND[1]) & (frequency[None] >= 0)
    )
    across, along = np.meshgrid([-1, 0, 1], [-6, -5, -4, -3, 3, 4, 5, 6], indexing="ij")

    def beside(down: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        return (row[:, None] + down.ravel()) % _PATCH * _PATCH + (
            column[:, None] + right.ravel()
        ) % _PATCH

    return row * _PATCH + column, beside(across, along), beside(along, across)


_PLACES, _BESIDE_ROW, _BESIDE_COLUMN = _neighbours()


@dataclass(frozen=True, slots=True, eq=False)
class _ScreenSample:
    at: float
    peak: float
    face: NDArray[np.float64]  # (3,) middle and width, in pixels
    rectangle: NDArray[np.float64] | None  # (4,) middle, width and height, in pixels


class ScreenLiveness:
    """One track; what was seen in the last `seconds` counts."""

    name = "screen"

    def __init__(self, *, seconds: float = 3.0) -> None:
        self._seconds = seconds
        self._seen: deque[_ScreenSample] = deque()
        self._answer = LivenessResult(LivenessState.WAITING, Reason.CHECKING)

    def observe(self, look: LivenessFrame) -> None:
        if self._seen and look.at - self._seen[-1].at < _EVERY_S:
            return
        found = around(look.image, look.face)
        rectangle = (
            np.array([found.x, found.y, found.width, found.height])
            if found and found.closed >= _CLOSED
            else None
        )
        face = np.array(
            [*look.face.box_xyxy.reshape(2, 2).mean(axis=0), look.face.width_px], np.float64
        )
        self._seen.append(_ScreenSample(look.at, peak(look.image, look.face), face, rectangle))
        while look.at - self._seen[0].at > self._seconds:
            self._seen.popleft()

        if self._answer.state is not LivenessState.FAILED:  # a screen turns into no face
            self._answer = _judge(self._seen)

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        return self._answer


def _judge(seen: Collection[_ScreenSample]) -> LivenessResult:
    enough = max(_FEWEST, _SHARE * len(seen))
    if len(seen) < enough:
        return LivenessResult(LivenessState.WAITING, Reason.CHECKING)
    if sum(s.peak >= _PEAK for s in seen) >= enough:
        return LivenessResult(LivenessState.FAILED, Reason.SCREEN)
    framed = [s for s in seen if s.rectangle is not None]
    if len(framed) < enough:
        return LivenessResult(LivenessState.PASSED)
    in_frame, from_face = _deviations(framed)
    if in_frame > max(_MOVED, 2 * from_face):
        return LivenessResult(LivenessState.FAILED, Reason.SCREEN)
    return (
        LivenessResult(LivenessState.PASSED)
        if from_face > max(_MOVED, 2 * in_frame)
        else LivenessResult(LivenessState.WAITING, Reason.MOVE)
    )


def _deviations(framed: Sequence[_ScreenSample]) -> tuple[float, float]:
    """How much the rectangle varies in the frame, and how much seen from the face, both in widths of the face."""
    rectangle, face = np.array([s.rectangle for s in framed]), np.array([s.face for s in framed])
    width = face[:, 2:]
    from_face = np.hstack([rectangle[:, :2] - face[:, :2], rectangle[:, 2:]]) / width
    return _deviation(rectangle / np.median(width)), _deviation(from_face)


def _deviation(values: NDArray[np.float64]) -> float:
    """The median distance from the median, of the column where it is largest."""
    return float(np.median(np.abs(values - np.median(values, axis=0)), axis=0).max())


def peak(image: NDArray[np.uint8], face: Face) -> float:
    """How far the strongest narrow peak in the spectrum of the face stands out: its power over the median beside it.

    Ridges along rows or columns, as straight edges and the blocks of compressed video make them, are no peaks. 0 where the
    face is smaller than the patch.
    """
    x, y = (face.box_xyxy.reshape(2, 2).mean(axis=0) - _PATCH / 2).round().astype(int)
    patch = image[max(0, y) : y + _PATCH, max(0, x) : x + _PATCH, 1].astype(np.float32)
    if face.width_px < _PATCH or patch.shape != (_PATCH, _PATCH):
        return 0.0
    fine = patch - cv2.GaussianBlur(patch, (0, 0), 3.0)
    power = (np.abs(np.fft.fft2(fine * _WINDOW)) ** 2).ravel()
    beside = np.maximum(
        np.median(power[_BESIDE_ROW], axis=1), np.median(power[_BESIDE_COLUMN], axis=1)
    )
    return float((power[_PLACES] / (beside + 1e-9)).max())
