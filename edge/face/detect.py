"""Face detection: YuNet in any engine, its outputs decoded in numpy.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
Research 2023. Per stride 8, 16 and 32 there is one prediction per cell: class and objectness
scores, a box (centre offset, log size) and five landmarks as offsets from the cell, all in units
of the stride.

The zone with its surroundings is searched with the smallest input in which faces of the minimum
width are still found. If that shrinks the image, the landmarks come from a second, close search of
the face alone: with the smallest network, in the original pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.engine import Engine, open_engine
from edge.errors import EngineError
from edge.face.boxes import iou, suppress_overlaps
from edge.values import Face, Zone

_STRIDES = (8, 16, 32)
_NMS_IOU = 0.3
_CANDIDATES = 400
_NEAR_SCALE = 0.4  # at this scale the network detects a face that fills the image
_FOUND_PX = 40  # width in the network's input from which masked faces are found reliably
FULL_FRAME = (0.0, 0.0, 1.0, 1.0)  # zone of a complete image
_MARGIN = 1 / 8  # of the image, searched around a zone: half of a face may reach beyond it
_CUT = 0.1  # of a face's width: closer to the border of the search the face may be cut off
_AROUND = 0.6  # of a face's size, on each side of it in a close search
_GRID = (
    32  # pixels: regions of close searches are aligned, so that a still face gives equal results
)
_SAME_IOU = 0.3  # from this overlap on the face of a close search is the expected one
_FINER = 1.1  # ratio of scales from which a close search is worth its time


class FaceDetector:
    """Finds faces in images of any size, with one network per input size such as `640x480`.

    `full_frame_size` is the input size for complete images; None chooses it for each image.
    `weak_score`, at most `min_score`, is the score down to which `search` and `find_at` report
    faces, for the tracker; None: `min_score`. `detect` never reports a weak face.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        min_score: float,
        *,
        weak_score: float | None = None,
        full_frame_size: str | None = None,
    ) -> None:
        self._min_score = min_score
        lowest = min_score if weak_score is None else weak_score
        networks = {size: _Network(engine, size, lowest) for size, engine in engines.items()}
        self._networks = sorted(networks.values(), key=lambda network: network.width)
        self._for_search = (
            self._networks if full_frame_size is None else [networks[full_frame_size]]
        )
        self._search_near = False
        self._scale = 1.0  # scale of the last search
        self._part = _Region(0, 0, 0, 0)  # region of the last search

    def close(self) -> None:
        for network in self._networks:
            network.close()

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return all faces of an image (H,W,3) uint8 BGR with exact landmarks, best score first.

        Raises EngineError.
        """
        found = [face for face in self.search(image) if face.score >= self._min_score]
        return [self.refine(image, face) for face in found]

    def search(
        self, image: NDArray[np.uint8], min_face_px: float = 0.0, zone: Zone = FULL_FRAME
    ) -> list[Face]:
        """Return the faces of an image (H,W,3) uint8 BGR in a zone, best score first.

        Faces near the zone, or narrower than `min_face_px`, can be among them. If no face is found,
        every other call searches the complete image again at a smaller scale: the network was not
        trained on faces that fill the image. Raises EngineError.
        """
        _check_image(image)
        height, width = image.shape[:2]
        part = self._part = _around(zone, width, height)
        fine = [
            network
            for network in self._for_search
            if network.scale(part.width, part.height) * min_face_px >= _FOUND_PX
        ]
        network = fine[0] if fine else self._for_search[-1]
        whole_scale = network.scale(width, height)
        self._scale = min(network.scale(part.width, part.height), max(1.0, whole_scale))
        found = network.find(image, part, self._scale)
        if _best_score(found) >= self._min_score:
            return found
        self._search_near = not self._search_near
        if not self._search_near:
            return found
        near_part, near_scale = _around(FULL_FRAME, width, height), whole_scale * _NEAR_SCALE
        near = self._smallest(width, height, near_scale).find(image, near_part, near_scale)
        if _best_score(near) < max(self._min_score, _best_score(found)):
            return found  # weak faces, which only a track can confirm
        self._part, self._scale = near_part, near_scale
        return near

    def refine(self, image: NDArray[np.uint8], face: Face) -> Face:
        """Return a face of the last `search` with exact landmarks."""
        shown = 0.0 if self._part.is_cut_off(face, image) else self._scale
        close = self._find_close(image, face.box_xyxy, finer_than=shown * _FINER)
        is_enough = close is not None and close.score >= min(face.score, self._min_score)
        return close if close is not None and is_enough else face

    def find_at(self, image: NDArray[np.uint8], box_xyxy: NDArray[np.floating]) -> Face | None:
        """Return the face at or near a box (4,), None without one; raises EngineError."""
        return self._find_close(image, box_xyxy)

    def _find_close(
        self, image: NDArray[np.uint8], box_xyxy: NDArray[np.floating], finer_than: float = 0.0
    ) -> Face | None:
        """Search around a box (4,) with the smallest network, at a scale above `finer_than`."""
        _check_image(image)
        part = _surroundings(box_xyxy, image)
        if part.width <= 0 or part.height <= 0:
            return None
        network = self._networks[0]
        scale = min(1.0, network.scale(part.width, part.height))
        if scale <= finer_than:
            return None
        found = [(iou(face.box_xyxy, box_xyxy), face) for face in network.find(image, part, scale)]
        same = [one for one in found if one[0] >= _SAME_IOU]
        # A weak face never replaces a strong one that overlaps less.
        best = max(same, key=lambda one: (one[1].score >= self._min_score, one[0]), default=None)
        return best[1] if best is not None else None

    def _smallest(self, width: int, height: int, scale: float) -> _Network:
        """Return the smallest network that holds an image at a scale."""
        return next(
            (n for n in self._networks if n.scale(width, height) >= scale), self._networks[-1]
        )


@dataclass(frozen=True, slots=True)
class _Region:
    """Region of an image, in its pixels."""

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

    def crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image[self.top : self.bottom, self.left : self.right]

    def is_cut_off(self, face: Face, image: NDArray[np.uint8]) -> bool:
        """Return True if a face may be cut off by the region, inside the image."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = map(float, face.box_xyxy)
        near = _CUT * face.width_px
        return (
            (self.left > 0 and x0 < self.left + near)
            or (self.top > 0 and y0 < self.top + near)
            or (self.right < width and x1 > self.right - near)
            or (self.bottom < height and y1 > self.bottom - near)
        )


def open_detector(models: Mapping[str, Path], *, min_score: float, threads: int) -> FaceDetector:
    """Open the ONNX files of a detector by input size; raises EngineError."""
    engines = {size: open_engine(model, threads=threads) for size, model in models.items()}
    return FaceDetector(engines, min_score)


def _around(zone: Zone, width: int, height: int) -> _Region:
    """Return the region of a zone, with a margin, in an image of that size."""
    left, top, right, bottom = zone
    return _Region(
        math.floor(max(0.0, left - _MARGIN) * width),
        math.floor(max(0.0, top - _MARGIN) * height),
        math.ceil(min(1.0, right + _MARGIN) * width),
        math.ceil(min(1.0, bottom + _MARGIN) * height),
    )


class _Network:
    """Network of a fixed input size; its buffers are allocated once."""

    def __init__(self, engine: Engine, size: str, min_score: float) -> None:
        self._engine = engine
        self.width, self.height = (int(part) for part in size.split("x"))
        self._min_product = min_score**2  # the score is the geometric mean of two
        self._canvas = np.zeros((self.height, self.width, 3), np.uint8)
        self._drawn = (self.width, self.height)  # size of the canvas that is not black
        self._colours = [np.empty((self.height, self.width), np.uint8) for _ in range(3)]
        self._input = np.empty((1, 3, self.height, self.width), np.float32)
        self._grids = [_grid(self.width // s, self.height // s) * s for s in _STRIDES]

    def close(self) -> None:
        self._engine.close()

    def scale(self, width: int, height: int) -> float:
        """Return the scale at which an image just fits."""
        return min(self.width / width, self.height / height)

    def find(self, image: NDArray[np.uint8], part: _Region, scale: float) -> list[Face]:
        """Return the faces of a region of an image (H,W,3), in pixels of the image.

        The region is scaled, and padded at the right and the bottom.
        """
        cv2.split(self._draw(part.crop(image), scale), self._colours)
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
        """Return the scaled image on the canvas, or the image itself if it fits exactly."""
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
        """Return scores (N,), boxes (N,4) and landmarks (N,5,2) in pixels of the canvas."""
        found: list[tuple[NDArray[np.float32], ...]] = []
        for stride, grid in zip(_STRIDES, self._grids, strict=True):
            quality = outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0]
            hit = np.flatnonzero(quality > self._min_product)
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


def _best_score(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _check_image(image: NDArray[np.uint8]) -> None:
    """Raise EngineError if the image is not (H,W,3) uint8, or empty."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise EngineError(
            f"the detector expects pictures (height, width, 3) of uint8, found {image.shape} "
            f"{image.dtype}; convert them to BGR first"
        )


def _surroundings(box_xyxy: NDArray[np.floating], image: NDArray[np.uint8]) -> _Region:
    """Return the region of a close search at a box (4,); empty if the box is outside."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box_xyxy.tolist()
    wide, high = _AROUND * (x1 - x0), _AROUND * (y1 - y0)
    left, top = (max(0, math.floor(start / _GRID) * _GRID) for start in (x0 - wide, y0 - high))
    right, bottom = (math.ceil(end / _GRID) * _GRID for end in (x1 + wide, y1 + high))
    return _Region(left, top, min(width, right), min(height, bottom))


def _grid(columns: int, rows: int) -> NDArray[np.float32]:
    """Return x and y of each cell (rows * columns, 2), row by row."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
