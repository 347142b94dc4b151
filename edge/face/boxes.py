"""Overlap of boxes x0, y0, x1, y1 in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.values import Zone


def iou(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the intersection over union of two boxes (4,); faster than with arrays."""
    x0, y0, x1, y1 = one.tolist()
    u0, v0, u1, v1 = other.tolist()
    common = max(0.0, min(x1, u1) - max(x0, u0)) * max(0.0, min(y1, v1) - max(y0, v0))
    return float(common / max(1e-6, (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - common))


def is_centre_in_zone(
    box_xyxy: NDArray[np.floating], image_shape: tuple[int, ...], zone: Zone
) -> bool:
    """Return True if the centre of a box in pixels is in the zone of an image (H,W,...)."""
    height, width = image_shape[:2]
    x, y = (box_xyxy[:2] + box_xyxy[2:]) / 2 / (width, height)
    left, top, right, bottom = zone
    return bool(left <= x <= right and top <= y <= bottom)


def suppress_overlaps(
    boxes_xyxy: NDArray[np.float32], scores: NDArray[np.float32], max_iou: float
) -> list[int]:
    """Greedy non-maximum suppression: return the indices to keep, best score first.

    No two of the kept boxes have an IoU above `max_iou`.
    """
    order = np.argsort(-scores, kind="stable")
    area = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
    keep: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        if not rest.size:
            break
        top_left = np.maximum(boxes_xyxy[best, :2], boxes_xyxy[rest, :2])
        bottom_right = np.minimum(boxes_xyxy[best, 2:], boxes_xyxy[rest, 2:])
        common = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
        order = rest[common <= max_iou * (area[best] + area[rest] - common)]
    return keep
