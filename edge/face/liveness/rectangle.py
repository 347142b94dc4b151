"""Rectangle of straight edges around a face: border of a print, bezel of a screen, door frame.

Edges are found by R. Grompone von Gioi et al., "LSD: a fast line segment detector", PAMI 2010. Of
all rectangles on a grid of a tenth of the face's width, at a few tilts, the one is chosen whose
worst side is the most complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.values import Face

_REACH = 2.2  # widths of the face, from its centre
_FACE_PX = 32  # width to which the face is scaled
_SHORTEST = 0.25  # widths of the face; shorter edges are ignored
_TILTS_DEG, _SKEW_DEG = (-16.0, -8.0, 0.0, 8.0, 16.0), 6.0
_CELL = 0.1  # widths of the face
_MIDDLE = round(_REACH / _CELL)
_SIDES = np.arange(5, 21)  # cells from the centre to a side
_SPAN = (_SIDES[:, None] + _SIDES[None]).astype(np.float32)  # cells between opposite sides

# (N,2,2): both ends, x and y, in widths of the face from its centre
_Segments = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Rectangle in pixels of the frame."""

    x: float  # of its centre
    y: float
    width: float
    height: float
    closed: float  # 0..1: visible part of the worst side


def find_rectangle(image: NDArray[np.uint8], face: Face) -> Rectangle | None:
    """Return the best rectangle around a face in an image (H,W,3), None without four sides."""
    middle, width = face.box_xyxy.reshape(2, 2).mean(axis=0).astype(np.float64), face.width_px
    segments = _segments(image, middle, width)
    best: tuple[float, NDArray[np.float64], float] = (0.0, np.zeros(4), 0.0)
    for tilt in _TILTS_DEG:
        closed, sides = _closed(*_split(segments, tilt))
        if closed > best[0]:
            best = closed, sides, tilt
    closed, (x0, y0, x1, y1), tilt = best
    if closed == 0:
        return None
    x, y = middle + width * _turn(-tilt) @ ((x0 + x1) / 2, (y0 + y1) / 2)
    return Rectangle(float(x), float(y), float(width * (x1 - x0)), float(width * (y1 - y0)), closed)


def _segments(
    image: NDArray[np.uint8], middle_xy: NDArray[np.float64], width_px: float
) -> _Segments:
    first = np.maximum(middle_xy - _REACH * width_px, 0).astype(int)
    last = np.minimum(middle_xy + _REACH * width_px, image.shape[1::-1]).astype(int)
    scale = _FACE_PX / width_px
    green = image[first[1] : last[1], first[0] : last[0], 1]
    small = cv2.resize(
        green,
        None,
        fx=scale,
        fy=scale,
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    # None if there is no segment
    found: Any = cv2.createLineSegmentDetector(cv2.LSD_REFINE_NONE).detect(small)[0]
    if found is None:
        return np.zeros((0, 2, 2))
    ends = (found.reshape(-1, 2, 2) / scale + first - middle_xy) / width_px
    return np.asarray(
        ends[np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) >= _SHORTEST], np.float64
    )


def _turn(degrees: float) -> NDArray[np.float64]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def _split(segments: _Segments, tilt_deg: float) -> tuple[_Segments, _Segments]:
    """Return the segments along and across a tilt, turned upright."""
    upright = segments @ _turn(tilt_deg).T
    run = np.abs(upright[:, 1] - upright[:, 0])
    skewed = np.tan(np.radians(_SKEW_DEG))
    return upright[run[:, 1] <= skewed * run[:, 0]], upright[run[:, 0] <= skewed * run[:, 1]]


def _closed(along: _Segments, across: _Segments) -> tuple[float, NDArray[np.float64]]:
    """Return how far the best rectangle is closed, and its sides x0, y0, x1, y1.

    Sides are in widths of the face from its centre.
    """
    if len(along) < 2 or len(across) < 2:
        return 0.0, np.zeros(4)
    rows, columns = _covered(along), _covered(across[:, :, ::-1])
    top, bottom = (
        _share(rows, _MIDDLE - _SIDES),
        _share(rows, _MIDDLE + _SIDES - 1),
    )  # (top, left, right), (bottom, left, right)
    left, right = (
        _share(columns, _MIDDLE - _SIDES),
        _share(columns, _MIDDLE + _SIDES - 1),
    )  # (left, top, bottom), ...
    least = np.minimum(  # (left, top, right, bottom)
        np.minimum(top.transpose(1, 0, 2)[:, :, :, None], bottom.transpose(1, 2, 0)[:, None]),
        np.minimum(left[:, :, None], right.transpose(1, 0, 2)[None]),
    )
    best = np.unravel_index(int(least.argmax()), least.shape)
    x0, y0, x1, y1 = (_SIDES[list(best)] - 0.5) * _CELL * (-1, -1, 1, 1)
    upright = across[:, :, ::-1]
    return float(least[best]), np.array(
        [_precise(upright, x0), _precise(along, y0), _precise(upright, x1), _precise(along, y1)]
    )


def _precise(lines: _Segments, offset: float) -> float:
    """Return the mean offset of the lines near an offset, weighted by length."""
    offsets, lengths = lines[:, :, 1].mean(axis=1), np.abs(lines[:, 1, 0] - lines[:, 0, 0])
    near = np.abs(offsets - offset) <= 1.5 * _CELL
    return float(np.average(offsets[near], weights=lengths[near])) if near.any() else offset


def _covered(lines: _Segments) -> NDArray[np.int32]:
    """Return the cumulative coverage along the lines, for each cell across: (cells, cells + 1)."""
    grid = np.zeros((2 * _MIDDLE, 2 * _MIDDLE + 1), np.int32)
    for (begin, offset), (end, other) in np.floor(lines / _CELL).astype(int) + _MIDDLE:
        across = (offset + other) // 2
        grid[
            max(0, across - 1) : max(0, across + 2),
            max(0, min(begin, end)) + 1 : max(0, max(begin, end) + 2),
        ] = 1
    return np.cumsum(grid, axis=1, dtype=np.int32)


def _share(covered: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the covered share of lines at some offsets, between two sides: (offset, low, high)."""
    upto = covered[offsets]
    return np.asarray(
        (upto[:, None, _MIDDLE + _SIDES] - upto[:, _MIDDLE - _SIDES, None]) / _SPAN, np.float32
    )
