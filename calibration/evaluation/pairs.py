"""Verification of pairs: clean, masked by the frozen protocol, other families and occluders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration import landmark_jitter, metrics, occluders, scores
from calibration.evaluation import comparisons
from calibration.evaluation.comparisons import ComparisonScores
from calibration.evaluation.pair_sets import PairSet
from calibration.evaluation.reliability import measure_reliability
from edge import chip as chips
from edge import masks
from edge.engine import Engine
from edge.errors import ConfigError
from edge.face.detect import FaceDetector

FMR = 1e-3
_TAR_AT = (1e-2, FMR)

Picture = NDArray[np.uint8]
Drawing = Callable[[int, Picture], Picture]


@dataclass(eq=False)
class PairScores:
    """Scores of one set under each condition."""

    pairs: PairSet
    by_condition: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    mask_worn: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    # Expected similarity of hidden chips, and their cosine to the bare chip.
    expected_similarity: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    measured_similarity: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    # Share of masked chips whose face was detected again.
    found_again: float = float("nan")

    def figures(self) -> dict[str, Any]:
        """Return all figures of the set for JSON."""
        mated = self.pairs.mated
        clean = self.by_condition["clean"]
        threshold = metrics.threshold_at_fmr(clean[~mated], FMR)
        figures: dict[str, Any] = {
            "pairs": len(mated),
            "mated": int(mated.sum()),
            "people": len(np.unique(self.pairs.people)),
            "folds": self.pairs.folds,
            "list": self.pairs.title,
            "masks": masks.PROTOCOL,
        }
        for name, values in self.by_condition.items():
            figures[name] = verification(values, mated, threshold, self.pairs.folds)
        figures |= {
            f"one_masked:{family}": row for family, row in self._by_exam_family(threshold).items()
        }
        fnmr_rounds, fmr_rounds = self.headline_rounds.T
        figures["at_unmasked_threshold_fmr_1e-3"] = {
            "threshold": round(threshold, 5),
            "fnmr_unmasked": figures["clean"]["fnmr_at_unmasked_threshold"],
            "fnmr_masked": figures["one_masked"]["fnmr_at_unmasked_threshold"],
            "fnmr_masked_95": comparisons.interval(fnmr_rounds),
            "fmr_masked": figures["one_masked"]["fmr_at_unmasked_threshold"],
            "fmr_masked_95": comparisons.interval(fmr_rounds),
        }
        if self.mask_worn:
            figures["mask_worn"] = self._mask_figures()
        if self.mask_worn and self.expected_similarity:
            # Of masked faces: the value is that of the branch for masked faces.
            masked = {name: self.mask_worn[name] >= 0.5 for name in self.measured_similarity}
            figures["expected_similarity"] = measure_reliability(
                np.concatenate([self.expected_similarity[name][masked[name]] for name in masked]),
                np.concatenate([self.measured_similarity[name][masked[name]] for name in masked]),
            )
        if np.isfinite(self.found_again):
            figures["faces_found_again"] = round(self.found_again, 5)
        return figures

    def _mask_figures(self) -> dict[str, Any]:
        shares = {name: float((worn >= 0.5).mean()) for name, worn in self.mask_worn.items()}
        return {
            "right_on_clean": round(1 - shares["clean"], 5),
            "right_on_drawn": round(shares["masked"], 5),
            # Share of chips on which a mask is detected, under each condition.
            "said_under": {name: round(share, 5) for name, share in shares.items()},
        }

    def _by_exam_family(self, threshold: float) -> dict[str, dict[str, float]]:
        """Split the one-masked pairs by mask family of the protocol.

        A family has too few pairs for folds or a low FMR.
        """
        drawn = np.array([masks.protocol_style(name).family for name in self.pairs.names])[
            self.pairs.second
        ]
        values, mated = self.by_condition["one_masked"], self.pairs.mated
        return {
            family: _at(values[drawn == family], mated[drawn == family], threshold)
            for family in masks.PROTOCOL_FAMILIES
            if (mated & (drawn == family)).any() and (~mated & (drawn == family)).any()
        }

    @cached_property
    def headline_rounds(self) -> NDArray[np.float64]:
        """FNMR and FMR of masked probes in each bootstrap round, see `masked_rounds`."""
        return comparisons.masked_rounds(
            self._comparisons("clean"), self._comparisons("one_masked"), FMR
        )

    def _comparisons(self, condition: str) -> ComparisonScores:
        people = self.pairs.people
        return comparisons.compare_pairs(
            self.by_condition[condition],
            self.pairs.mated,
            people[self.pairs.first],
            people[self.pairs.second],
            int(people.max()) + 1,
        )


def _at(
    values: NDArray[np.float32], mated: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    return {
        "pairs": len(mated),
        "fnmr_at_unmasked_threshold": round(1 - metrics.match_rate(values[mated], threshold), 5),
        "fmr_at_unmasked_threshold": round(metrics.match_rate(values[~mated], threshold), 5),
    }


def verification(
    values: NDArray[np.float32],
    mated: NDArray[np.bool_],
    unmasked_threshold: float,
    folds: int,
) -> dict[str, float]:
    """Return accuracy over folds, EER, TAR at fixed FMR, and rates at the unmasked threshold."""
    accuracy, deviation = metrics.k_fold_accuracy(values, mated, folds)
    figures = {
        "accuracy": accuracy,
        "accuracy_std": deviation,
        "eer": metrics.equal_error_rate(values[mated], values[~mated]),
    }
    for fmr in _TAR_AT:
        figures[f"tar_at_fmr_{fmr:g}"] = metrics.match_rate(
            values[mated], metrics.threshold_at_fmr(values[~mated], fmr)
        )
    return {
        **{name: round(value, 5) for name, value in figures.items()},
        **_at(values, mated, unmasked_threshold),
    }


def run(
    engine: Engine, pairs: PairSet, *, every_condition: bool, detector: FaceDetector | None = None
) -> PairScores:
    """Score the pairs with one embedder: one embedding per chip, no flipping.

    Conditions: clean, one masked and both masked. With `every_condition` also each mask family
    that training never draws, other occluders, and with a detector masked chips that are aligned
    again by redetected landmarks. Raises ConfigError if the set is too small.
    """
    _check_size(pairs)
    result = PairScores(pairs)
    everyone = np.arange(len(pairs.names))
    a, b = pairs.first, pairs.second
    bare = _embed(engine, result, "clean", _keep, everyone)
    worn = _embed(engine, result, "masked", partial(_mask, pairs, None), everyone)
    result.measured_similarity["masked"] = (bare * worn).sum(axis=1)
    result.by_condition["clean"] = (bare[a] * bare[b]).sum(axis=1)
    result.by_condition["one_masked"] = (bare[a] * worn[b]).sum(axis=1)
    result.by_condition["both_masked"] = (worn[a] * worn[b]).sum(axis=1)
    if every_condition:
        _run_other_conditions(engine, result, bare, detector)
    return result


def _check_size(pairs: PairSet) -> None:
    minimum = round(1 / FMR)
    non_mated = int(np.count_nonzero(~pairs.mated))
    if non_mated < minimum or not pairs.mated.any():
        raise ConfigError(
            f"{pairs.title}: FMR {FMR:g} needs at least {minimum:,} non-mated pairs and some mated "
            f"ones, found {non_mated:,} and {len(pairs.mated) - non_mated:,}; name a longer list"
        )


def _run_other_conditions(
    engine: Engine, result: PairScores, bare: NDArray[np.float32], detector: FaceDetector | None
) -> None:
    """Add the scores of bare templates against probes that are hidden in other ways."""
    pairs = result.pairs
    drawings: dict[str, Drawing] = {
        f"one_masked:{family}": partial(_mask, pairs, family) for family in masks.HELD_OUT
    }
    for kind in occluders.KINDS:
        drawings[f"one_with:{kind}"] = partial(_occlude, pairs, kind)
    found: list[bool] = []
    if detector is not None:
        drawings["one_masked_found_again"] = partial(_mask_and_realign, pairs, detector, found)
    probes = np.unique(pairs.second)
    for name, drawing in drawings.items():
        what = name.partition(":")[2] or name
        vectors = _embed(engine, result, what, drawing, probes)
        result.by_condition[name] = (bare[pairs.first] * vectors[pairs.second]).sum(axis=1)
        result.measured_similarity[what] = (bare[probes] * vectors[probes]).sum(axis=1)
    if found:
        result.found_again = float(np.mean(found))


def _embed(
    engine: Engine, result: PairScores, what: str, draw: Drawing, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Embed some chips of the set, each changed by `draw`; other rows (N,D) stay zero."""
    pairs = result.pairs
    outputs = scores.embed_chips(
        engine,
        len(rows),
        lambda i: draw(int(rows[i]), pairs.chip(int(rows[i]))),
        what=what,
        optional=scores.PROBE_OUTPUTS,
    )
    for name, values in (
        ("mask_worn", result.mask_worn),
        ("expected_similarity", result.expected_similarity),
    ):
        if name in outputs:
            values[what] = outputs[name]
    vectors = np.zeros((len(pairs.names), outputs["embedding"].shape[1]), np.float32)
    vectors[rows] = outputs["embedding"]
    return vectors


def _keep(_: int, chip: Picture) -> Picture:
    return chip


def _mask(pairs: PairSet, family: str | None, i: int, chip: Picture) -> Picture:
    return masks.draw_protocol(chip, pairs.names[i], family)[0]


def _occlude(pairs: PairSet, kind: str, i: int, chip: Picture) -> Picture:
    return occluders.draw_protocol(chip, kind, pairs.names[i])[0]


def _mask_and_realign(
    pairs: PairSet, detector: FaceDetector, found: list[bool], i: int, chip: Picture
) -> Picture:
    """Mask a chip and align it by redetected landmarks; keep the alignment if no face is found."""
    masked = _mask(pairs, None, i, chip)
    again = landmark_jitter.redetect_landmarks(masked, detector)
    found.append(again is not None)
    return masked if again is None else chips.align(*again)
