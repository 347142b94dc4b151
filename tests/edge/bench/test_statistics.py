"""Slopes, ratios and thinning: correct with enough numbers, absent with too few."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench.accumulator import DecimatedSeries
from edge.bench.statistics import decimate, percentiles, ratio_of_medians, slope

NOISE = np.random.default_rng(3)


def test_percentiles_of_a_hundred_numbers() -> None:
    assert percentiles(range(101)) == (0, 50, 50, 90, 95, 99, 100)


def test_a_slope_is_found_within_its_bounds() -> None:
    at = np.arange(400.0)
    best, low, high = slope(at, 0.5 * at + NOISE.normal(0, 3, 400)) or (0, 0, 0)
    assert low < 0.5 < high and 0 < high - low < 0.05 and low < best < high


def test_noise_that_wanders_has_no_slope() -> None:
    """Neighbours are alike: bounds that took them for independent would be far too narrow."""
    flat = 0
    for seed in range(40):
        steps = np.random.default_rng(seed).normal(0, 1, 400)
        wander = np.convolve(steps, np.ones(20), "valid")
        _, low, high = slope(np.arange(len(wander)), wander) or (0, 1, 1)
        flat += low <= 0 <= high
    assert flat >= 32


def test_of_too_little_nothing_is_said() -> None:
    assert slope(range(7), range(7)) is None and slope([1.0] * 20, range(20)) is None
    assert (
        ratio_of_medians([1.0] * 7, [1.0] * 20) is None
        and ratio_of_medians([0.0] * 20, [1.0] * 20) is None
    )


def test_a_ratio_of_medians_and_its_interval() -> None:
    before, after = NOISE.normal(10, 1, 300), NOISE.normal(12, 1, 300)
    ratio, low, high = ratio_of_medians(before, after) or (0, 0, 0)
    assert low < 1.2 < high and ratio == pytest.approx(1.2, abs=0.03) and high - low < 0.1
    assert ratio_of_medians(before, after) == (ratio, low, high)  # drawn the same way each time
    _, low, high = ratio_of_medians(before, NOISE.normal(10, 1, 300)) or (0, 0, 0)
    assert low < 1 < high


@given(st.lists(st.floats(0, 1e3), max_size=200), st.integers(1, 50))
def test_thinning_keeps_every_nth(values: list[float], most: int) -> None:
    kept = decimate(values, most)
    assert (
        len(kept) <= most
        and (not values or kept[0] == values[0])
        and (len(values) > most or kept == values)
    )


@settings(max_examples=50)
@given(st.integers(0, 500), st.integers(2, 40))
def test_decimated_series_stay_aligned(count: int, capacity: int) -> None:
    numbers, squares, holes = (
        DecimatedSeries(capacity),
        DecimatedSeries(capacity),
        DecimatedSeries(capacity),
    )
    for n in range(count):
        numbers.add(n)
        squares.add(n * n)
        holes.add(math.nan if n % 3 else n)
    kept = numbers.aligned()
    assert len(kept) <= capacity and squares.aligned() == [n * n for n in kept]
    assert len(kept) >= min(count, capacity // 2) and holes.present() == [
        n for n in kept if n % 3 == 0
    ]
    steps = set(np.diff(kept)) if len(kept) > 1 else {1}
    assert len(steps) == 1
