"""`mfsa-evaluate`: what a model can do, with and without masks, in numbers and pictures; several models side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.chips import ChipFolder
from calibration.evaluation import (
    attention_localization,
    faithfulness,
    pairs,
    people,
    real_masks,
)
from calibration.evaluation.comparisons import interval
from calibration.evaluation.pair_sets import PairSet
from edge.engine import Engine
from edge.face.detect import FaceDetector


@dataclass(frozen=True)
class Material:
    """What the models are examined on."""

    pair_sets: list[PairSet]
    people: ChipFolder | None
    real_masks: tuple[ChipFolder, ChipFolder] | None  # masked, unmasked
    kept_apart: bool  # whether people and real masks are of the tenth that training keeps apart


@dataclass(eq=False)
class Examined:
    """One model's figures for machines, and the scores behind them for curves and comparisons."""

    title: str
    figures: dict[str, Any]
    engine: Engine
    pair_scores: list[pairs.PairScores] = field(default_factory=list)
    people: people.PeopleScores | None = None
    trust: list[faithfulness.Curves] = field(default_factory=list)


def examine(
    done: Examined, material: Material, *, detector: FaceDetector | None, quick: bool
) -> None:
    """Sit all exams there is material for; `quick` leaves out what is not the headline. Raises ConfigError, EngineError."""
    engine = done.engine
    for chosen in material.pair_sets:
        done.pair_scores.append(
            pairs.sit(engine, chosen, every_condition=not quick, detector=detector)
        )
    if done.pair_scores:
        done.figures["pairs"] = {
            scores.pairs.title: scores.figures() for scores in done.pair_scores
        }
        done.figures["places"] = attention_localization.sit(engine, material.pair_sets[0])
    if done.pair_scores and not quick:
        done.trust = [
            faithfulness.sit(engine, material.pair_sets[0], masked=masked)
            for masked in (False, True)
        ]
        done.figures["trust"] = {
            name: curves.figures
            for name, curves in zip(("clean", "masked"), done.trust, strict=True)
        }
    if material.people is not None:
        done.people = people.sit(engine, material.people)
        done.figures["people"] = {"kept_apart": material.kept_apart, **done.people.figures()}
    if material.real_masks is not None:
        done.figures["real_masks"] = {
            "kept_apart": material.kept_apart,
            **real_masks.sit(engine, *material.real_masks),
        }


def compare(first: Examined, other: Examined) -> dict[str, Any]:
    """The headline of `other` less that of `first`: FNMR and FMR of masked probes, 95 % by bootstrap over the same people.

    A network that makes masked faces alike lowers the FNMR and lets strangers in, so neither is told alone.
    """
    told: dict[str, Any] = {"model": other.title, "less": first.title, "masked": {}}
    for a, b in zip(first.pair_scores, other.pair_scores, strict=True):
        fixed = (
            model.figures["pairs"][a.pairs.title]["at_unmasked_threshold_fmr_1e-3"]
            for model in (first, other)
        )
        told["masked"][a.pairs.title] = difference(*fixed, a.headline_rounds, b.headline_rounds)
    if first.people is not None and other.people is not None:
        fixed = (model.figures["people"]["at_unmasked_threshold"] for model in (first, other))
        told["masked"]["people"] = difference(
            *fixed, first.people.headline_rounds, other.people.headline_rounds
        )
    return told


def difference(
    a: dict[str, Any],
    b: dict[str, Any],
    a_rounds: NDArray[np.float64],
    b_rounds: NDArray[np.float64],
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for rate, column in (("fnmr", 0), ("fmr", 1)):
        told[rate] = [a[f"{rate}_masked"], b[f"{rate}_masked"]]
        told[f"{rate}_difference_95"] = interval(b_rounds[:, column] - a_rounds[:, column])
    (low, high), fmr_low = told["fnmr_difference_95"], told["fmr_difference_95"][0]
    if high < 0:
        told["words"] = "lower, but it lets more strangers in" if fmr_low > 0 else "lower"
    else:
        told["words"] = "higher" if low > 0 else "no difference that this data could show"
    return told
