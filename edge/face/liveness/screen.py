"""Layer `screen`: a face on a screen or print: in a rectangle that moves with it, or in pixels.

Conservative: most frames of some seconds must agree, and a rectangle must move with the face, which
the frame of a door does not. Measured with `mfsa-pad`: eight recordings of living people, none
refused; a drawn tablet in a hand, refused after a second. That is no detection rate: a screen
without a border, and with pixels too fine to be seen, passes. 0 to 5 ms per frame.
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
from edge.face.liveness.rectangle import find_rectangle
from edge.values import Face

_EVERY_S = 0.15
_MIN_FRAMES = 5
_SHARE = 0.6  # of the frames that must agree

# Pixel pattern: spectrum of a square of the raw frame, in the middle of the face
_PATCH = 48  # pixels
_WINDOW = np.outer(np.hanning(_PATCH), np.hanning(_PATCH)).astype(np.float32)
_BAND = (0.15, 0.45)  # cycles per pixel; below is the face itself
_PEAK = 50.0  # times the power of its neighbours

# Rectangle
_CLOSED = 0.7  # of each side that must be visible
_MOVED = 0.05  # widths of the face: smaller median deviations do not show a common motion


def _neighbours() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices (N,) of the band in a spectrum, and their neighbours (N,24).

    The neighbours are returned along the row, and along the column.
    """
    frequency = np.fft.fftfreq(_PATCH)
    distance = np.hypot(frequency[:, None], frequency[None])
    row, column = np.nonzero(
        (distance >= _BAND[0]) & (distance < _BAND[1]) & (frequency[None] >= 0)
    )
    across, along = np.meshgrid([-1, 0, 1], [-6, -5, -4, -3, 3, 4, 5, 6], indexing="ij")

    def neighbours(down: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        return (row[:, None] + down.ravel()) % _PATCH * _PATCH + (
            column[:, None] + right.ravel()
        ) % _PATCH

    return row * _PATCH + column, neighbours(across, along), neighbours(along, across)


_BAND_INDEX, _ROW_NEIGHBOURS, _COLUMN_NEIGHBOURS = _neighbours()


@dataclass(frozen=True, slots=True, eq=False)
class _ScreenSample:
    at: float
    peak: float
    face: NDArray[np.float64]  # (3,) centre and width, in pixels
    rectangle: NDArray[np.float64] | None  # (4,) centre, width and height, in pixels


class ScreenLiveness:
    """Signs of a screen in the last `seconds` of one track."""

    name = "screen"

    def __init__(self, *, seconds: float = 3.0) -> None:
        self._seconds = seconds
        self._seen: deque[_ScreenSample] = deque()
        self._answer = LivenessResult(LivenessState.WAITING, Reason.CHECKING)

    def observe(self, frame: LivenessFrame) -> None:
        if self._seen and frame.at - self._seen[-1].at < _EVERY_S:
            return
        found = find_rectangle(frame.image, frame.face)
        rectangle = (
            np.array([found.x, found.y, found.width, found.height])
            if found and found.closed >= _CLOSED
            else None
        )
        face = np.array(
            [*frame.face.box_xyxy.reshape(2, 2).mean(axis=0), frame.face.width_px], np.float64
        )
        self._seen.append(
            _ScreenSample(frame.at, measure_peak(frame.image, frame.face), face, rectangle)
        )
        while frame.at - self._seen[0].at > self._seconds:
            self._seen.popleft()

        if self._answer.state is not LivenessState.FAILED:  # final: a screen does not become a face
            self._answer = _judge(self._seen)

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        return self._answer


def _judge(seen: Collection[_ScreenSample]) -> LivenessResult:
    enough = max(_MIN_FRAMES, _SHARE * len(seen))
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
    """Return the deviation of the rectangle in the frame, and relative to the face.

    Both are in widths of the face.
    """
    rectangle, face = np.array([s.rectangle for s in framed]), np.array([s.face for s in framed])
    width = face[:, 2:]
    from_face = np.hstack([rectangle[:, :2] - face[:, :2], rectangle[:, 2:]]) / width
    return _deviation(rectangle / np.median(width)), _deviation(from_face)


def _deviation(values: NDArray[np.float64]) -> float:
    """Return the median absolute deviation of the column with the largest one."""
    return float(np.median(np.abs(values - np.median(values, axis=0)), axis=0).max())


def measure_peak(image: NDArray[np.uint8], face: Face) -> float:
    """Return the power of the strongest narrow peak in the spectrum of a face.

    The power is relative to the median of its neighbours.

    Ridges along rows or columns, from straight edges and the blocks of compressed video, are no
    peaks. 0 if the face is smaller than the patch.
    """
    x, y = (face.box_xyxy.reshape(2, 2).mean(axis=0) - _PATCH / 2).round().astype(int)
    patch = image[max(0, y) : y + _PATCH, max(0, x) : x + _PATCH, 1].astype(np.float32)
    if face.width_px < _PATCH or patch.shape != (_PATCH, _PATCH):
        return 0.0
    fine = patch - cv2.GaussianBlur(patch, (0, 0), 3.0)
    power = (np.abs(np.fft.fft2(fine * _WINDOW)) ** 2).ravel()
    surroundings = np.maximum(
        np.median(power[_ROW_NEIGHBOURS], axis=1), np.median(power[_COLUMN_NEIGHBOURS], axis=1)
    )
    return float((power[_BAND_INDEX] / (surroundings + 1e-9)).max())
