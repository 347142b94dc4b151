"""Finding faces: YuNet's outputs decoded in numpy, in whatever engine runs the network.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023. Per stride
8, 16 and 32 there is one prediction a cell: class and objectness scores, a box (centre offset, log size) and five
landmarks as offsets from the cell, all in units of the stride.

The zone in which faces count, with what surrounds it, is searched with the smallest input in which those faces can still be found;
where that shrinks the picture, landmarks come from a close look at the face alone, in the small network and in the picture's own
pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.engine import Engine
from edge.errors import EngineError
from edge.face.boxes import iou, suppress_overlaps
from edge.values import Face, Zone

_STRIDES = (8, 16, 32)
_NMS_IOU = 0.3
_CANDIDATES = 400
_NEAR_SCALE = 0.4  # at which a face that fills the picture is one of a size that the network knows
_FOUND_PX = 24  # a face so wide in the network's input is found as surely as a larger one
FULL_FRAME = (0.0, 0.0, 1.0, 1.0)  # the zone that is all of a picture
_BESIDE = (
    1 / 8
)  # of the picture, searched on each side of a zone: half of a face whose middle is in it may lie there
_CUT = 0.1  # of a face's width: nearer to where the search ended it may have been cut
_AROUND = 0.6  # of a face's size, on each side of it in a close look
_GRID = 32  # pixels: where close looks begin and end, so that a face at rest is seen alike again and again
_SAME_IOU = 0.3  # from which on a face of a close look is the one that was looked for
_FINER = 1.1  # times as many pixels make a close look worth it


class FaceDetector:
    """Faces of a frame of any size, by one network for each size of its input; their keys are such as `640x480`.

    `whole` is the size in which whole pictures are looked at, None where that is for each picture to decide.
    """

    def __init__(
        self, engines: Mapping[str, Engine], min_score: float, *, full_frame_size: str | None = None
    ) -> None:
        networks = {size: _Network(engine, size, min_score) for size, engine in engines.items()}
        self._networks = sorted(networks.values(), key=lambda network: network.width)
        self._for_whole = self._networks if full_frame_size is None else [networks[full_frame_size]]
        self._look_near = False
        self._scale = 1.0  # of the last search
        self._part = _Region(0, 0, 0, 0)  # that it saw

    def close(self) -> None:
        for network in self._networks:
            network.close()

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces of an image (H,W,3) uint8 BGR as exactly as can be, best score first; raises EngineError."""
        return [self.refine(image, face) for face in self.search(image)]

    def search(
        self, image: NDArray[np.uint8], min_face_px: float = 0.0, zone: Zone = FULL_FRAME
    ) -> list[Face]:
        """All faces of an image (H,W,3) uint8 BGR that are at least so wide and whose middle lies in a zone, and some
        beside it; best score first. Raises EngineError.

        Where there is none, every other call looks again at the whole picture and a smaller scale: the network does not know
        faces that fill the picture.
        """
        _check_image(image)
        height, width = image.shape[:2]
        part = self._part = _around(zone, width, height)
        fine = [
            network
            for network in self._for_whole
            if network.scale(part.width, part.height) * min_face_px >= _FOUND_PX
        ]
        network = fine[0] if fine else self._for_whole[-1]
        whole_scale = network.scale(width, height)
        self._scale = min(network.scale(part.width, part.height), max(1.0, whole_scale))
        found = network.find(image, part, self._scale)
        if found:
            return found
        self._look_near = not self._look_near
        if not self._look_near:
            return []
        self._part, self._scale = _around(FULL_FRAME, width, height), whole_scale * _NEAR_SCALE
        return self._smallest(width, height, self._scale).find(image, self._part, self._scale)

    def refine(self, image: NDArray[np.uint8], face: Face) -> Face:
        """A face of the last `scan`, looked at closely where that shows more of it."""
        shown = 0.0 if self._part.cuts(face, image) else self._scale
        return self._find_close(image, face.box_xyxy, finer_than=shown * _FINER) or face

    def find_at(self, image: NDArray[np.uint8], box_xyxy: NDArray[np.floating]) -> Face | None:
        """The face (4,) of an image that is there or hereabouts, None where there is none; raises EngineError."""
        return self._find_close(image, box_xyxy)

    def _find_close(
        self, image: NDArray[np.uint8], box_xyxy: NDArray[np.floating], finer_than: float = 0.0
    ) -> Face | None:
        """By the small network, unless its scale would be no finer than that."""
        _check_image(image)
        part = _surroundings(box_xyxy, image)
        if part.width <= 0 or part.height <= 0:
            return None
        network = self._networks[0]
        scale = min(1.0, network.scale(part.width, part.height))
        if scale <= finer_than:
            return None
        found = [(iou(face.box_xyxy, box_xyxy), face) for face in network.find(image, part, scale)]
        overlap, best = max(found, key=lambda one: one[0], default=(0.0, None))
        return best if overlap >= _SAME_IOU else None

    def _smallest(self, width: int, height: int, scale: float) -> _Network:
        """The network of the fewest pixels that holds an image at a scale."""
        return next(
            (n for n in self._networks if n.scale(width, height) >= scale), self._networks[-1]
        )


@dataclass(frozen=True, slots=True)
class _Region:
    """A part of an image, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image[self.top : self.bottom, self.left : self.right]

    def cuts(self, face: Face, image: NDArray[np.uint8]) -> bool:
        """Whether a face may go on beyond it in the image."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = map(float, face.box_xyxy)
        near = _CUT * face.width_px
        return (
            (self.left > 0 and x0 < self.left + near)
            or (self.top > 0 and y0 < self.top + near)
            or (self.right < width and x1 > self.right - near)
            or (self.bottom < height and y1 > self.bottom - near)
        )


def _around(zone: Zone, width: int, height: int) -> _Region:
    """A zone of an image of that size with what is beside it."""
    left, top, right, bottom = zone
    return _Region(
        math.floor(max(0.0, left - _BESIDE) * width),
        math.floor(max(0.0, top - _BESIDE) * height),
        math.ceil(min(1.0, right + _BESIDE) * width),
        math.ceil(min(1.0, bottom + _BESIDE) * height),
    )


class _Network:
    """One network of a fixed input; what it reads lies in memory that is taken once."""

    def __init__(self, engine: Engine, size: str, min_score: float) -> None:
        self._engine = engine
        self.width, self.height = (int(part) for part in size.split("x"))
        self._least = min_score**2  # the score is the geometric mean of two
        self._canvas = np.zeros((self.height, self.width, 3), np.uint8)
        self._drawn = (self.width, self.height)  # how much of the canvas is not black
        self._colours = [np.empty((self.height, self.width), np.uint8) for _ in range(3)]
        self._input = np.empty((1, 3, self.height, self.width), np.float32)
        self._grids = [_grid(self.width // s, self.height // s) * s for s in _STRIDES]

    def close(self) -> None:
        self._engine.close()

    def scale(self, width: int, height: int) -> float:
        """At which an image just fits."""
        return min(self.width / width, self.height / height)

    def find(self, image: NDArray[np.uint8], part: _Region, scale: float) -> list[Face]:
        """Faces of a part of an image (H,W,3) at a scale, padded at the right and bottom; in the image's pixels."""
        cv2.split(self._draw(part.of(image), scale), self._colours)
        for channel, colour in zip(self._input[0], self._colours, strict=True):
            np.copyto(channel, colour)
        scores, boxes, landmarks = self._decode(self._engine.run(self._input))
        keep = suppress_overlaps(boxes, scores, _NMS_IOU)
        corners = np.array((part.left, part.top) * 2, np.float32)
        boxes, landmarks = (
            boxes[keep] / np.float32(scale) + corners,
            landmarks[keep] / np.float32(scale) + corners[:2],
        )
        return [
            Face(box, points, score)
            for box, points, score in zip(boxes, landmarks, scores[keep].tolist(), strict=True)
        ]

    def _draw(self, image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
        """The image on the canvas, or itself where it needs none."""
        height, width = image.shape[:2]
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        if shown == (width, height) == (self.width, self.height):
            return image
        if shown != self._drawn:
            self._canvas[:] = 0
            self._drawn = shown
        target = self._canvas[: shown[1], : shown[0]]
        drawn = cv2.resize(image, shown, dst=target, interpolation=cv2.INTER_LINEAR)
        if not np.shares_memory(drawn, target):  # OpenCV allocates another array on a mismatch
            target[:] = drawn
        return self._canvas

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,), boxes_xyxy (N,4) and landmarks_xy (N,5,2) in canvas pixels, of the cells above the threshold."""
        found: list[tuple[NDArray[np.float32], ...]] = []
        for stride, grid in zip(_STRIDES, self._grids, strict=True):
            quality = outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0]
            hit = np.flatnonzero(quality > self._least)
            if not hit.size:
                continue
            cell, box = grid[hit], outputs[f"bbox_{stride}"][0, hit]
            centre, half = cell + box[:, :2] * stride, np.exp(box[:, 2:]) * (stride / 2)
            points = outputs[f"kps_{stride}"][0, hit].reshape(-1, 5, 2) * stride + cell[:, None]
            found.append((np.sqrt(quality[hit]), np.hstack([centre - half, centre + half]), points))
        if not found:
            return (
                np.empty(0, np.float32),
                np.empty((0, 4), np.float32),
                np.empty((0, 5, 2), np.float32),
            )
        scores, boxes, landmarks = (
            np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True)
        )
        best = np.argsort(-scores, kind="stable")[:_CANDIDATES]
        return scores[best], boxes[best], landmarks[best]


def _check_image(image: NDArray[np.uint8]) -> None:
    """Raise EngineError for anything but a non-empty picture (H,W,3) uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise EngineError(
            f"the detector expects pictures (height, width, 3) of uint8, found {image.shape} "
            f"{image.dtype}; convert them to BGR first"
        )


def _surroundings(box_xyxy: NDArray[np.floating], image: NDArray[np.uint8]) -> _Region:
    """What a close look at a box (4,) sees of an image; empty where the box lies outside."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box_xyxy.tolist()
    wide, high = _AROUND * (x1 - x0), _AROUND * (y1 - y0)
    left, top = (max(0, math.floor(start / _GRID) * _GRID) for start in (x0 - wide, y0 - high))
    right, bottom = (math.ceil(end / _GRID) * _GRID for end in (x1 + wide, y1 + high))
    return _Region(left, top, min(width, right), min(height, bottom))


def _grid(columns: int, rows: int) -> NDArray[np.float32]:
    """(rows * columns, 2) x and y of each cell, row by row."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
