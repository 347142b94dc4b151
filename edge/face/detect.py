"""Finding faces: YuNet's outputs decoded in numpy, in whatever engine runs the network.

W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023. Per stride
8, 16 and 32 there is one prediction a cell: class and objectness scores, a box (centre offset, log size) and five
landmarks as offsets from the cell, all in units of the stride.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.engine import Engine
from edge.values import Face

_STRIDES = (8, 16, 32)
_NMS_IOU = 0.3
_CANDIDATES = 400
_NEAR_SCALE = 0.4  # at which a face that fills the picture is one of a size that the network knows


class Detector:
    """Faces of a frame of any size; the network sees it scaled to fit and padded at the right and bottom."""

    def __init__(self, engine: Engine, size: str, min_score: float) -> None:
        self._engine = engine
        self._width, self._height = (int(part) for part in size.split("x"))
        self._min_score = min_score
        self._canvas = np.zeros((self._height, self._width, 3), np.uint8)
        self._look_near = False
        self._grids = [_grid(self._width // s, self._height // s) * s for s in _STRIDES]

    def close(self) -> None:
        self._engine.close()

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces of an image (H,W,3) uint8 BGR, best score first; raises EngineError.

        Where there is none, every other call looks again at a smaller scale: the network does not know faces that fill the
        picture.
        """
        found = self._detect(image, 1.0)
        if found:
            return found
        self._look_near = not self._look_near
        return self._detect(image, _NEAR_SCALE) if self._look_near else []

    def _detect(self, image: NDArray[np.uint8], part: float) -> list[Face]:
        """Faces of an image that is scaled to fit a part of the network's input."""
        scale = part * min(self._width / image.shape[1], self._height / image.shape[0])
        width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        if (width, height) == (self._width, self._height) and scale == 1:
            canvas = image
        else:
            canvas = self._canvas
            canvas[:] = 0
            cv2.resize(image, (width, height), dst=canvas[:height, :width], interpolation=cv2.INTER_LINEAR)
        batch = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], dtype=np.float32)
        scores, boxes, landmarks = self._decode(self._engine.run(batch))
        keep = suppress(boxes, scores, _NMS_IOU)
        return [Face(boxes[i] / np.float32(scale), landmarks[i] / np.float32(scale), float(scores[i])) for i in keep]

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,), boxes_xyxy (N,4) and landmarks_xy (N,5,2) in canvas pixels, of the cells above the threshold."""
        found: list[tuple[NDArray[np.float32], ...]] = []
        for stride, grid in zip(_STRIDES, self._grids, strict=True):
            quality = outputs[f"cls_{stride}"][0, :, 0].clip(0, 1) * outputs[f"obj_{stride}"][0, :, 0].clip(0, 1)
            hit = np.flatnonzero(quality > self._min_score**2)  # the score is their geometric mean
            cell = grid[hit]
            box = outputs[f"bbox_{stride}"][0, hit]
            centre, half = cell + box[:, :2] * stride, np.exp(box[:, 2:]) * (stride / 2)
            points = outputs[f"kps_{stride}"][0, hit].reshape(-1, 5, 2) * stride + cell[:, None]
            found.append((np.sqrt(quality[hit]), np.hstack([centre - half, centre + half]), points))
        scores, boxes, landmarks = (np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True))
        best = np.argsort(-scores, kind="stable")[:_CANDIDATES]
        return scores[best], boxes[best], landmarks[best]


def _grid(columns: int, rows: int) -> NDArray[np.float32]:
    """(rows * columns, 2) x and y of each cell, row by row."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def suppress(boxes_xyxy: NDArray[np.float32], scores: NDArray[np.float32], iou: float) -> list[int]:
    """Greedy non-maximum suppression: indices to keep, best score first, no two overlapping by more than `iou`."""
    order = np.argsort(-scores, kind="stable")
    area = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
    keep: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        top_left = np.maximum(boxes_xyxy[best, :2], boxes_xyxy[rest, :2])
        bottom_right = np.minimum(boxes_xyxy[best, 2:], boxes_xyxy[rest, 2:])
        common = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
        order = rest[common <= iou * (area[best] + area[rest] - common)]
    return keep
