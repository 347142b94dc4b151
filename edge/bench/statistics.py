"""Percentiles, slopes and ratios of medians with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000
_FEWEST = 8  # values needed for a slope or ratio
_BLOCKS = 10  # blocks of neighbouring values, which are correlated
_AT_ONCE = 1 << 20  # values
Floats = NDArray[np.float64]


def percentiles(values: Sequence[float]) -> tuple[float, ...]:
    """Return min, mean, median, p90, p95, p99 and max."""
    array = np.asarray(values, np.float64)
    low, median, p90, p95, p99, high = np.percentile(array, (0, 50, 90, 95, 99, 100))
    return tuple(float(v) for v in (low, array.mean(), median, p90, p95, p99, high))


def slope(
    at: Sequence[float], values: Sequence[float], *, seed: int = 0
) -> tuple[float, float, float] | None:
    """Return the least-squares slope and its 95 % interval (moving-block bootstrap), or None.

    H. R. Kunsch, "The jackknife and the bootstrap for general stationary observations", Annals of
    Statistics 1989.
    """
    x, y = np.asarray(at, np.float64), np.asarray(values, np.float64)
    if len(x) < _FEWEST or np.ptp(x) <= 0:
        return None
    centred = x - x.mean()
    best = float(centred @ y / (centred @ centred))
    residuals = y - y.mean() - best * centred
    drawn = residuals[_blocks(len(x), np.random.default_rng(seed))] @ centred / (centred @ centred)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return best, best + float(low), best + float(high)


def ratio_of_medians(
    before: Sequence[float], after: Sequence[float], *, seed: int = 0
) -> tuple[float, float, float] | None:
    """Return the ratio of medians, after over before, and its 95 % interval (block bootstrap).

    Returns None for too few values, or if the median before is 0.
    """
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if min(len(a), len(b)) < _FEWEST or np.median(a) <= 0:
        return None
    rng = np.random.default_rng(seed)
    drawn = _medians(b, rng) / np.maximum(_medians(a, rng), np.finfo(np.float64).tiny)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(np.median(b) / np.median(a)), float(low), float(high)


def _medians(values: Floats, rng: np.random.Generator) -> Floats:
    """Return the median of each resample, a few at a time to bound the memory."""
    step = max(1, _AT_ONCE // len(values))
    parts = []
    for start in range(0, _RESAMPLES, step):
        drawn = values[_blocks(len(values), rng, min(step, _RESAMPLES - start))]
        parts.append(np.median(drawn, axis=1))
    return np.concatenate(parts)


def _blocks(count: int, rng: np.random.Generator, resamples: int = _RESAMPLES) -> NDArray[np.int64]:
    """Return indices (resamples,count) of random blocks of neighbours."""
    length = max(1, count // _BLOCKS)
    starts = rng.integers(0, count - length + 1, (resamples, -(-count // length)))
    return (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :count]


def decimate(values: Sequence[float], most: int) -> list[float]:
    """Return every n-th value, at most `most` values."""
    step = max(1, -(-len(values) // most))
    return list(values[::step])
