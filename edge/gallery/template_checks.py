"""Checks of a gallery's rows; a row that fails is left out and reported by its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.gallery.bf16_index import UNIT_ERROR

Vector = NDArray[np.float32]


def find_flaw(vector: Vector, dimension: int) -> str | None:
    """Return why a template (D,) cannot be searched, None if it can."""
    if vector.shape != (dimension,):
        return f"{vector.size} numbers, expected {dimension}"
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.sqrt(np.dot(vector, vector)))
    if not np.isfinite(norm):
        return "numbers that are not finite"
    return None if abs(norm - 1) <= UNIT_ERROR else f"norm {norm:.4g}, expected 1"


def most_common_dimension(vectors: Iterable[Vector]) -> int:
    """Return the length of most valid vectors, the longer of two equal counts; 0 without any."""
    lengths = Counter(v.size for v in vectors if v.ndim == 1 and not find_flaw(v, v.size))
    return max(lengths, key=lambda length: (lengths[length], length), default=0)
