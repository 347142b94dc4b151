from __future__ import annotations

import numpy as np
import pytest

from calibration.int8.ranges import LEVELS, METHODS, Histogram, entropy, minmax, mse, percentile


def histogram(*parts: np.ndarray) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


def test_histogram_growth_keeps_counts() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(0, scale, 5000).astype(np.float32) for scale in (1, 10, 3)]
    made = histogram(*parts)
    every = np.abs(np.concatenate(parts))
    assert made.counts.sum() == len(every) and made.largest == every.max() <= made.top
    half = int(np.searchsorted(np.cumsum(made.counts), len(every) / 2))
    assert (half + 0.5) * made.width == pytest.approx(np.median(every), abs=2 * made.width)


def test_ranges_of_zeros_and_nan() -> None:
    zeros = histogram(np.zeros(100, np.float32))
    assert all(method(zeros) == 0.0 for method in METHODS.values())
    with pytest.raises(ValueError, match="not finite"):
        zeros.add(np.array([1, np.nan], np.float32))


def test_every_method_keeps_a_range_that_is_full() -> None:
    uniform = histogram(np.linspace(0, 6, 200_000, dtype=np.float32))
    for method in METHODS.values():
        assert method(uniform) == pytest.approx(6, rel=0.02)


def test_an_outlier_is_clipped_by_all_but_minmax() -> None:
    body = np.abs(np.random.default_rng(0).normal(0, 1, 200_000)).astype(np.float32)
    made = histogram(body, np.array([100.0], np.float32))
    assert minmax(made) == 100
    assert 3 < percentile(made) < 6 and mse(made) < 60 and entropy(made) < 20


def test_mse_is_the_best_of_all_ranges() -> None:
    values = np.abs(np.random.default_rng(1).laplace(0, 1, 50_000)).astype(np.float32)

    def error(reach: float) -> float:
        step = reach / LEVELS
        return float(((values - np.clip(np.round(values / step), 0, LEVELS) * step) ** 2).sum())

    chosen = error(mse(histogram(values)))
    assert chosen <= 1.02 * min(error(reach) for reach in np.linspace(1, values.max(), 60))
