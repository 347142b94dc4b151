"""Ranges of activations for int8: four methods on a histogram of magnitudes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LEVELS = 127  # symmetric int8: -127..127
_BINS = 2048
_START = 128  # bins: no range is narrower than one bin per level
_STEP = 16
_PERCENTILE = 0.9999


class Histogram:
    """Counts of |x| in equal bins from 0, whose width doubles for larger values."""

    def __init__(self) -> None:
        self.is_map = False  # (N,C,H,W) with more than one position; else a vector per chip
        self.counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self.top = 0.0
        self.largest = 0.0

    def add(self, values: NDArray[np.floating]) -> None:
        """Add values (N,C,H,W) or (N,C); raises ValueError for values that are not finite."""
        self.is_map |= values.ndim > 2 and values[0, 0].size > 1
        magnitude = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitude.max(initial=0.0))
        if not np.isfinite(largest):
            raise ValueError("values that are not finite")
        if largest == 0.0:
            self.counts[0] += magnitude.size
            return
        if self.top == 0.0:
            self.top = largest
        while self.top < largest:
            self.counts = np.concatenate(
                [self.counts.reshape(-1, 2).sum(axis=1), np.zeros(_BINS // 2, np.int64)]
            )
            self.top *= 2
        self.largest = max(self.largest, largest)
        self.counts += np.histogram(magnitude, bins=_BINS, range=(0.0, self.top))[0]

    @property
    def width(self) -> float:
        return self.top / _BINS


def minmax(histogram: Histogram) -> float:
    """Return the largest magnitude: no value is clipped."""
    return histogram.largest


def percentile(histogram: Histogram) -> float:
    """Return the magnitude that 99.99 % of the values do not exceed."""
    share = np.cumsum(histogram.counts) / max(1, histogram.counts.sum())
    return min(histogram.largest, (int(np.searchsorted(share, _PERCENTILE)) + 1) * histogram.width)


def mse(histogram: Histogram) -> float:
    """Return the range with the least squared error of rounding and clipping."""
    middles = (np.arange(_BINS) + 0.5) * histogram.width

    def error(bins: int) -> float:
        step = bins * histogram.width / LEVELS
        rounded = np.clip(np.round(middles / step), 0, LEVELS) * step
        return float((histogram.counts * (middles - rounded) ** 2).sum())

    return _best(histogram, error)


def entropy(histogram: Histogram) -> float:
    """Return the range with the least Kullback-Leibler divergence from the clipped original.

    S. Migacz, "8-bit Inference with TensorRT", GTC 2017. The first bin, which holds the zeros of a
    ReLU, counts as its neighbour: zeros are exact in every range.
    """
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]

    def divergence(bins: int) -> float:
        inside = counts[:bins]
        wanted = inside.copy()
        wanted[-1] += counts[bins:].sum()
        level = np.arange(bins) * (LEVELS + 1) // bins
        filled = inside > 0
        total = np.bincount(level, inside, LEVELS + 1)
        sharing = np.bincount(level, filled, LEVELS + 1)
        spread = np.where(filled, (total / np.maximum(sharing, 1))[level], 0.0)
        if not spread.any():
            return float("inf")
        p, q = wanted / wanted.sum(), spread / spread.sum()
        seen = p > 0
        return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum())

    return _best(histogram, divergence)


def _best(histogram: Histogram, cost: Callable[[int], float]) -> float:
    """Return the range of the candidate with the least cost."""
    used = max(_START, int(np.ceil(histogram.largest / histogram.width))) if histogram.width else 0
    if not used:
        return 0.0
    candidates = [*range(_START, used, _STEP), used]
    best = min(candidates, key=cost)
    return float(min(histogram.largest, best * histogram.width))


METHODS: dict[str, Callable[[Histogram], float]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}
