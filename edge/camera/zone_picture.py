"""Picture of the detection zone as JPEG for the live view; faces outside the zone are hidden."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.values import Zone

_WIDTH_MAX = 960
_QUALITY = 80
_MARGIN = 0.3  # of a face's size, also hidden on each side of its box: hair, chin and motion
_GREY = 96

Box = tuple[float, float, float, float]  # left, top, right, bottom


class ZonePicture:
    """Part of an image (H,W,3) that is in the zone."""

    def __init__(self, image: NDArray[np.uint8], zone: Zone) -> None:
        height, width = image.shape[:2]
        left, top, right, bottom = zone
        self._left, self._top = (
            min(int(left * width), width - 1),
            min(int(top * height), height - 1),
        )
        right_px = max(self._left + 1, round(right * width))
        bottom_px = max(self._top + 1, round(bottom * height))
        self._image = image[self._top : bottom_px, self._left : right_px]
        scale = min(1.0, _WIDTH_MAX / self._image.shape[1])
        self.width, self.height = (
            max(1, round(side * scale)) for side in (self._image.shape[1], self._image.shape[0])
        )

    def locate(self, box_xyxy: NDArray[np.floating]) -> Box:
        """Return a box, in pixels of the image, as fractions of the picture, within 0..1."""
        rows, columns = self._image.shape[:2]
        origin = np.array((self._left, self._top) * 2)
        inside = ((box_xyxy - origin) / (columns, rows, columns, rows)).clip(0, 1)
        left, top, right, bottom = (round(float(edge), 4) for edge in inside)
        return left, top, right, bottom

    def encode(self, hidden: Iterable[NDArray[np.floating]]) -> bytes:
        """Return the picture as JPEG; faces with these boxes are hidden."""
        size = self.width, self.height
        picture = cv2.resize(self._image, size, interpolation=cv2.INTER_AREA)
        for box in hidden:
            margin = (box[2:] - box[:2]) * _MARGIN
            around = np.concatenate([box[:2] - margin, box[2:] + margin])
            corners = np.array(self.locate(around)) * (size * 2)
            left, top = (int(edge) for edge in np.floor(corners[:2]))
            right, bottom = (int(edge) for edge in np.ceil(corners[2:]))
            picture[top:bottom, left:right] = _GREY
        return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes()
