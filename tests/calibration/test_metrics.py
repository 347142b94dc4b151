from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration import metrics, scores
from calibration.scores import LabelledEmbeddings
from edge.access.error_rates import fpir

score_lists = arrays(np.float32, st.integers(20, 200), elements=st.floats(-1, 1, width=32))


@given(score_lists, st.floats(0.05, 0.9))
def test_threshold_at_fmr_is_lowest(non_mated: np.ndarray, fmr: float) -> None:
    threshold = metrics.threshold_at_fmr(non_mated, fmr)
    assert metrics.match_rate(non_mated, threshold) <= fmr
    below = non_mated[non_mated < threshold]
    if below.size:
        assert metrics.match_rate(non_mated, float(below.max())) > fmr


@given(score_lists)
def test_fmr_falls_as_the_threshold_rises(non_mated: np.ndarray) -> None:
    rates = [metrics.match_rate(non_mated, t) for t in np.linspace(-1, 1, 21)]
    assert rates == sorted(rates, reverse=True)


def test_threshold_with_too_few_scores_raises() -> None:
    with pytest.raises(ValueError, match="needs at least 100,000 non-mated comparisons, found 50"):
        metrics.threshold_at_fmr(np.zeros(50), 1e-5)


def test_equal_error_rate_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    mated, non_mated = rng.normal(2, 1, 50_000), rng.normal(0, 1, 50_000)
    assert metrics.equal_error_rate(mated, non_mated) == pytest.approx(
        0.5 * math.erfc(1 / math.sqrt(2)), abs=0.005
    )
    assert metrics.equal_error_rate(np.ones(5), np.zeros(5)) == 0


def test_ten_fold_accuracy() -> None:
    mated = np.tile([True, False], 500)
    perfect = np.where(mated, 0.8, 0.1)
    assert metrics.k_fold_accuracy(perfect, mated) == (1.0, 0.0)
    accuracy, _ = metrics.k_fold_accuracy(np.random.default_rng(0).uniform(0, 1, 1000), mated)
    assert 0.4 < accuracy < 0.6
    shifted = perfect.copy()
    shifted[:100] += (
        1  # one fold has other scores: its threshold comes from the rest and is wrong there
    )
    assert metrics.k_fold_accuracy(shifted, mated)[0] == pytest.approx(0.95)


def test_fpir_and_the_gallery_it_supports() -> None:
    assert fpir(1e-3, 500) == pytest.approx(0.3936, abs=1e-4)
    size = metrics.supported_gallery(1e-5, 0.01)
    assert fpir(1e-5, size) <= 0.01 < fpir(1e-5, size + 1)


def people(rng: np.random.Generator, count: int, each: int) -> LabelledEmbeddings:
    centres = rng.standard_normal((count, 16))
    rows = np.repeat(centres, each, axis=0) + 0.5 * rng.standard_normal((count * each, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return LabelledEmbeddings(rows.astype(np.float32), np.repeat(np.arange(count), each))


def test_all_scores_is_every_pair_once() -> None:
    embedded = people(np.random.default_rng(0), 4, 3)
    mated, non_mated = scores.all_scores(embedded, embedded)
    assert len(mated) == 4 * 3 and len(non_mated) == 12 * 11 // 2 - 12
    masked = LabelledEmbeddings(embedded.vectors.copy(), embedded.labels)
    mated, non_mated = scores.all_scores(masked, embedded)
    assert len(mated) == 4 * 3 * 2 and len(non_mated) == 12 * 9
    assert mated.max() < 0.9999  # never a picture against itself


def test_person_counts_match_scores_and_bounds() -> None:
    embedded = people(np.random.default_rng(1), 30, 4)
    mated, non_mated = scores.all_scores(embedded, embedded)
    threshold = metrics.threshold_at_fmr(non_mated, 0.01)
    counts = scores.count_by_person(embedded, embedded, threshold)
    assert counts.fmr == pytest.approx(metrics.match_rate(non_mated, threshold))
    assert counts.fnmr == pytest.approx(1 - metrics.match_rate(mated, threshold))
    fmr_upper, fnmr_upper = counts.upper_bounds(rounds=300)
    assert counts.fmr < fmr_upper < 0.1 and counts.fnmr <= fnmr_upper <= 1


def test_no_false_match_seen_is_not_none_possible() -> None:
    embedded = people(np.random.default_rng(2), 10, 2)
    fmr_upper, _ = scores.count_by_person(embedded, embedded, threshold=2.0).upper_bounds(rounds=10)
    assert fmr_upper == pytest.approx(
        3 / 45
    )  # ten people make 45 pairs of people, however many pictures they have


def test_bound_without_false_match_uses_pairs() -> None:
    """Masked against bare compares a with b and b with a: that is one pair of people, not two."""
    people = 5
    both = np.full((people, people), 4)
    np.fill_diagonal(both, 0)
    for non_mated in (np.triu(both, 1), both):
        counts = metrics.ComparisonCounts(
            non_mated, np.zeros_like(both), np.full(people, 3), np.full(people, 3)
        )
        assert counts.upper_bounds(rounds=20)[0] == pytest.approx(3 / 10)
    two = np.array([[0, 1], [1, 0]])
    assert (
        metrics.ComparisonCounts(two, two * 0, np.ones(2, int), np.ones(2, int)).upper_bounds(
            rounds=20
        )[0]
        == 1.0
    )
