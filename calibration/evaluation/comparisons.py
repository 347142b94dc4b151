"""Mated and non-mated scores, with intervals by bootstrap over people.

The threshold is determined again in each round: at a low FMR it depends on few impostors, and an
interval at a fixed threshold would be much too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration import metrics
from calibration.scores import LabelledEmbeddings

ROUNDS = 1000
_KEPT = 0.05  # share of the highest non-mated scores that is kept
MIN_KEPT = 1000
BLOCK_ROWS = 2048
Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ComparisonScores:
    """Scores of probes against templates: all mated and the highest non-mated ones."""

    mated: NDArray[np.float32]  # (n,)
    mated_people: NDArray[np.int64]  # (n,)
    impostors: NDArray[np.float32]  # (k,) non-mated, highest first
    impostor_people: NDArray[np.int64]  # (k, 2)
    count: int  # of all non-mated comparisons
    people: int
    # Weight of all non-mated comparisons if each person counts (P,) times.
    impostor_weight: Callable[[Weights], float]

    def threshold(self, fmr: float) -> float:
        """Return the lowest threshold at which at most a share `fmr` of impostors match.

        Raises ValueError for too few comparisons.
        """
        allowed = int(np.floor(self.count * fmr + 1e-9))
        if allowed < 1 or allowed >= len(self.impostors):
            raise ValueError(f"FMR {fmr:g} needs more than {self.count:,} non-mated comparisons")
        return float(np.nextafter(self.impostors[allowed], np.float32(np.inf)))

    def tar(self, fmr: float) -> float:
        return metrics.match_rate(self.mated, self.threshold(fmr))

    def fnmr_at(self, threshold: float) -> float:
        return 1 - metrics.match_rate(self.mated, threshold)

    def fmr_at(self, threshold: float) -> float:
        """Return the FMR at a threshold; exact up to the share of scores that is kept."""
        return float((self.impostors >= threshold).sum() / self.count)


def compare_pairs(
    scores: NDArray[np.float32],
    mated: NDArray[np.bool_],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    people: int,
) -> ComparisonScores:
    """Compare a list of pairs with the person of each side; all scores are kept."""
    a, b = first[~mated], second[~mated]
    order = np.argsort(-scores[~mated], kind="stable")

    def weigh(drawn: Weights) -> float:
        return float(np.where(a == b, drawn[a], drawn[a] * drawn[b]).sum())

    return ComparisonScores(
        scores[mated],
        first[mated],
        scores[~mated][order],
        np.column_stack([a, b])[order],
        len(order),
        people,
        weigh,
    )


def compare_all(probes: LabelledEmbeddings, templates: LabelledEmbeddings) -> ComparisonScores:
    """Compare all against all, in blocks.

    One set against itself counts each pair once. For two variants of the same pictures, row by row,
    all pairs count except a picture with itself.
    """
    people = int(max(probes.labels.max(), templates.labels.max())) + 1
    columns = np.arange(len(templates.labels))
    itself = probes is templates
    mated: list[NDArray[np.float32]] = []
    mated_people: list[NDArray[np.int64]] = []
    nearest = np.empty(0, np.float32)
    rows_of, columns_of = np.empty(0, np.int64), np.empty(0, np.int64)
    p, t = (
        np.bincount(side.labels, minlength=people).astype(np.float64)
        for side in (probes, templates)
    )
    half = 2.0 if itself else 1.0
    count = round((p.sum() * t.sum() - p @ t) / half)
    keep = max(MIN_KEPT, int(np.ceil(count * _KEPT)))
    for start in range(0, len(probes.labels), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(probes.labels)))
        scores = probes.vectors[rows] @ templates.vectors.T
        own = probes.labels[rows][:, None] == templates.labels[None]
        wanted = rows[:, None] < columns[None] if itself else rows[:, None] != columns[None]
        mated.append(scores[own & wanted])
        mated_people.append(probes.labels[rows][np.nonzero(own & wanted)[0]])
        floor = nearest.min() if keep <= len(nearest) else -np.inf
        i, j = np.nonzero(~own & wanted & (scores > floor))
        nearest = np.concatenate([nearest, scores[i, j]])
        rows_of, columns_of = np.concatenate([rows_of, rows[i]]), np.concatenate([columns_of, j])
        if len(nearest) > keep:
            best = np.argpartition(-nearest, keep - 1)[:keep]
            nearest, rows_of, columns_of = nearest[best], rows_of[best], columns_of[best]
    order = np.argsort(-nearest, kind="stable")
    pairs = np.column_stack([probes.labels[rows_of], templates.labels[columns_of]])[order]

    def weigh(drawn: Weights) -> float:
        return float(((drawn @ p) * (drawn @ t) - (drawn * drawn) @ (p * t)) / half)

    own_scores, own_people = np.concatenate(mated), np.concatenate(mated_people)
    return ComparisonScores(own_scores, own_people, nearest[order], pairs, count, people, weigh)


def masked_rounds(
    clean: ComparisonScores, masked: ComparisonScores, fmr: float
) -> NDArray[np.float64]:
    """Return FNMR and FMR (rounds, 2) of masked probes at the threshold of unmasked impostors.

    People are drawn and the threshold is determined in each round. A pair of people counts as often
    as the product of their draws (R. M. Bolle et al., "Error analysis of pattern recognition
    systems: the subsets bootstrap", CVIU 2004). All models use the same draws, so that rounds of
    two models can be subtracted.
    """
    found = np.empty((ROUNDS, 2))
    for i, drawn in enumerate(metrics.bootstrap_people(clean.people, ROUNDS)):
        total = max(1.0, clean.impostor_weight(drawn))
        passed = np.cumsum(_pair_weights(drawn, clean.impostor_people))
        refused = clean.impostors[
            min(int(np.searchsorted(passed, fmr * total, side="right")), len(passed) - 1)
        ]
        own = drawn[masked.mated_people]
        others = _pair_weights(drawn, masked.impostor_people)
        found[i] = (
            own[masked.mated <= refused].sum() / max(1.0, own.sum()),
            others[masked.impostors > refused].sum() / max(1.0, masked.impostor_weight(drawn)),
        )
    return found


def _pair_weights(drawn: Weights, people: NDArray[np.int64]) -> Weights:
    a, b = people.T
    return np.asarray(np.where(a == b, drawn[a], drawn[a] * drawn[b]), np.float64)


def interval(rounds: NDArray[np.float64]) -> list[float]:
    """Return the middle 95 % of the rounds."""
    return [round(float(bound), 5) for bound in np.quantile(rounds, (0.025, 0.975))]
