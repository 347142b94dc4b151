"""Biometric error rates: FMR, FNMR, TAR, EER, k-fold accuracy, and bootstrap bounds over people.

Terms as in ISO/IEC 19795-1. A comparison is mated if both samples are of one person. Scores are
cosines; a comparison matches if its score is at least the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.floating]


def threshold_at_fmr(non_mated: Floats, fmr: float) -> float:
    """Return the lowest threshold at which at most a share `fmr` of non-mated scores match.

    Raises ValueError for fewer than 1/fmr comparisons.
    """
    allowed = int(np.floor(len(non_mated) * fmr + 1e-9))
    if allowed < 1:
        raise ValueError(
            f"FMR {fmr:g} needs at least {int(np.ceil(1 / fmr)):,} non-mated comparisons, "
            f"found {len(non_mated):,}"
        )
    last_refused = np.partition(non_mated, len(non_mated) - allowed - 1)[
        len(non_mated) - allowed - 1
    ]
    return float(np.nextafter(last_refused, last_refused.dtype.type(np.inf)))


def match_rate(scores: Floats, threshold: float) -> float:
    """Return the share of scores that match; NaN for no scores."""
    return float((np.asarray(scores) >= threshold).mean()) if len(scores) else float("nan")


def equal_error_rate(mated: Floats, non_mated: Floats) -> float:
    """Return the equal error rate, by linear interpolation between the scores."""
    thresholds = np.append(np.sort(np.concatenate([mated, non_mated])), np.inf)
    fnmr = np.searchsorted(np.sort(mated), thresholds, side="left") / len(mated)
    fmr = 1 - np.searchsorted(np.sort(non_mated), thresholds, side="left") / len(non_mated)
    at = int(np.argmax(fnmr >= fmr))
    if at == 0:
        return float((fnmr[0] + fmr[0]) / 2)
    before, after = fmr[at - 1] - fnmr[at - 1], fnmr[at] - fmr[at]
    weight = before / (before + after) if before + after else 0.5
    return float((1 - weight) * fnmr[at - 1] + weight * fnmr[at])


def k_fold_accuracy(
    scores: Floats, mated: NDArray[np.bool_], folds: int = 10
) -> tuple[float, float]:
    """Return mean and standard deviation of the accuracy over folds.

    Each fold is measured at the best threshold of the other folds. Protocol of LFW (G. B. Huang et
    al., "Labeled Faces in the Wild", 2007): pairs in the order of the list, equal folds.
    """
    parts = np.array_split(np.arange(len(scores)), folds)
    accuracies = []
    for part in parts:
        rest = np.setdiff1d(np.arange(len(scores)), part, assume_unique=True)
        threshold = _best_threshold(scores[rest], mated[rest])
        accuracies.append(float(((scores[part] >= threshold) == mated[part]).mean()))
    return float(np.mean(accuracies)), float(np.std(accuracies))


def _best_threshold(scores: Floats, mated: NDArray[np.bool_]) -> float:
    order = np.argsort(scores)
    ranked, truth = scores[order], mated[order]
    # Threshold at ranked[i]: everything from i on matches.
    right = np.concatenate([[truth.sum()], truth.sum() - np.cumsum(truth) + np.cumsum(~truth)])
    return float(np.concatenate([ranked, [np.inf]])[int(np.argmax(right))])


def clopper_pearson_upper(found: int, trials: int, confidence: float = 0.95) -> float:
    """Return the upper end of the one-sided interval of a rate; 1 without trials.

    C. Clopper, E. Pearson, "The use of confidence or fiducial limits", Biometrika 1934.
    """
    return (
        1.0 if found >= trials else float(special.betaincinv(found + 1, trials - found, confidence))
    )


def bootstrap_people(people: int, rounds: int, seed: int = 0) -> Iterator[NDArray[np.float64]]:
    """Yield, for each round, how often each person is drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)


@dataclass(frozen=True, slots=True)
class ComparisonCounts:
    """Comparisons and matches: non-mated by pair of people (P,P), mated by person (P,)."""

    non_mated: NDArray[np.int64]
    false_matches: NDArray[np.int64]
    mated: NDArray[np.int64]
    true_matches: NDArray[np.int64]

    @property
    def fmr(self) -> float:
        return float(self.false_matches.sum() / max(1, self.non_mated.sum()))

    @property
    def fnmr(self) -> float:
        return 1 - float(self.true_matches.sum() / max(1, self.mated.sum()))

    def upper_bounds(
        self, rounds: int = 1000, confidence: float = 0.95, seed: int = 0
    ) -> tuple[float, float]:
        """Return one-sided upper bounds of FMR and FNMR by bootstrap over people.

        A pair of people counts as often as the product of their draws (R. M. Bolle et al., "Error
        analysis of pattern recognition systems: the subsets bootstrap", CVIU 2004, applied to both
        people of a pair). Without any false match the rule of three over pairs of people bounds
        the FMR: the pictures of one pair are not independent.
        """
        fmr, fnmr = np.empty(rounds), np.empty(rounds)
        for i, weight in enumerate(bootstrap_people(len(self.mated), rounds, seed)):
            non_mated = float(weight @ self.non_mated @ weight)
            mated = float(weight @ self.mated)
            fmr[i] = (weight @ self.false_matches @ weight) / max(1.0, non_mated)
            fnmr[i] = 1 - (weight @ self.true_matches) / max(1.0, mated)
        bound = float(np.quantile(fmr, confidence))
        if not self.false_matches.any():
            # Pairs of people, in either order.
            pairs = int(np.count_nonzero(np.triu(self.non_mated + self.non_mated.T, 1)))
            bound = min(1.0, 3 / max(1, pairs))
        return bound, float(np.quantile(fnmr, confidence))


def fmr_for_fpir(fpir_target: float, gallery_size: int) -> float:
    """Return the FMR at which a search in this gallery has the FPIR: 1 - (1 - FPIR)^(1/N)."""
    return float(-np.expm1(np.log1p(-fpir_target) / gallery_size))


def supported_gallery(fmr: float, fpir_target: float) -> int:
    """Return the largest gallery for which the FPIR stays within the target at this FMR."""
    if fmr <= 0:
        raise ValueError("expected an FMR above 0, found 0; use its upper bound")
    return int(np.floor(np.log1p(-fpir_target) / np.log1p(-fmr)))
