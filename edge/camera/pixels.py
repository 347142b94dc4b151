"""Conversion of camera frames to BGR pictures, rotated and mirrored as configured."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import CameraError

_SIDE_MAX = 8192
_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def to_bgr(image: Any, camera: str) -> NDArray[np.uint8]:
    """Convert a driver's frame to a picture (H,W,3) uint8 BGR.

    Accepts BGR, grey (H,W) or (H,W,1) and BGRx (H,W,4), of 8 or 16 bits; of 16 bits the upper 8 are
    kept. For other layouts raises CameraError that names `camera`, shape and type.
    """
    found = np.asarray(image)
    height, width, *channels = (*found.shape, 0, 0)[: max(2, found.ndim)]
    if not (0 < height <= _SIDE_MAX and 0 < width <= _SIDE_MAX) or channels not in (
        [],
        [1],
        [3],
        [4],
    ):
        raise _refusal(found, camera)
    if found.dtype == np.uint16:
        found = (found >> 8).astype(np.uint8)
    if found.dtype != np.uint8:
        raise _refusal(found, camera)
    if channels == [3]:
        return found
    code = cv2.COLOR_BGRA2BGR if channels == [4] else cv2.COLOR_GRAY2BGR
    return np.asarray(cv2.cvtColor(found, code), dtype=np.uint8)


def orient(image: NDArray[np.uint8], rotate: int, *, mirror: bool) -> NDArray[np.uint8]:
    """Turn a picture (H,W,3) clockwise by 0, 90, 180 or 270 degrees, then swap left and right."""
    if rotate:
        image = np.asarray(cv2.rotate(image, _TURNS[rotate]), dtype=np.uint8)
    return np.asarray(cv2.flip(image, 1), dtype=np.uint8) if mirror else image


def _refusal(found: NDArray[Any], camera: str) -> CameraError:
    return CameraError(
        f"camera {camera} delivers frames of shape {found.shape} and type {found.dtype}, expected "
        "BGR, grey or BGRx of 8 or 16 bits; set `camera.pixel_format`, or end the pipeline with "
        "video/x-raw,format=BGR"
    )
