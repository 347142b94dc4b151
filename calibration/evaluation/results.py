"""Evaluation of embedders by all protocols, and comparison of two models."""

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
from edge.chip import to_input
from edge.engine import Engine
from edge.face.detect import FaceDetector
from edge.face.embed import CHIP_SHAPE
from edge.face.explanation import Explainer


@dataclass(frozen=True)
class EvaluationData:
    """Data to evaluate models on."""

    pair_sets: list[PairSet]
    people: ChipFolder | None
    real_masks: tuple[ChipFolder, ChipFolder] | None  # masked, unmasked
    kept_apart: bool  # true if people and real masks are validation identities


@dataclass(eq=False)
class ModelEvaluation:
    """Figures of one model, with the scores for curves and comparisons."""

    title: str
    figures: dict[str, Any]
    engine: Engine
    explainer: Explainer | None = None
    has_maps: bool = True  # False: an encoder without attention
    pair_scores: list[pairs.PairScores] = field(default_factory=list)
    people: people.PeopleScores | None = None
    trust: list[faithfulness.FaithfulnessCurves] = field(default_factory=list)


def evaluate_model(
    evaluation: ModelEvaluation, data: EvaluationData, *, detector: FaceDetector | None, quick: bool
) -> None:
    """Run all protocols that the data and the network allow; `quick` runs the headline only.

    Raises ConfigError, EngineError.
    """
    engine = evaluation.engine
    blank = np.zeros((1, *CHIP_SHAPE), np.uint8)
    evaluation.has_maps = "attention" in engine.run(to_input(blank))
    for chosen in data.pair_sets:
        evaluation.pair_scores.append(
            pairs.run(engine, chosen, every_condition=not quick, detector=detector)
        )
    if evaluation.pair_scores:
        evaluation.figures["pairs"] = {
            scores.pairs.title: scores.figures() for scores in evaluation.pair_scores
        }
    if evaluation.pair_scores and evaluation.has_maps:
        evaluation.figures["places"] = attention_localization.run(engine, data.pair_sets[0])
    if evaluation.pair_scores and evaluation.has_maps and not quick:
        evaluation.trust = [
            faithfulness.run(
                engine, data.pair_sets[0], probes=probes, explainer=evaluation.explainer
            )
            for probes in faithfulness.PROBES
        ]
        evaluation.figures["trust"] = {
            name: curves.figures
            for name, curves in zip(faithfulness.PROBES, evaluation.trust, strict=True)
        }
    if data.people is not None:
        evaluation.people = people.run(engine, data.people)
        evaluation.figures["people"] = {
            "kept_apart": data.kept_apart,
            **evaluation.people.figures(),
        }
    if data.real_masks is not None:
        evaluation.figures["real_masks"] = {
            "kept_apart": data.kept_apart,
            **real_masks.run(engine, *data.real_masks),
        }


def compare_models(first: ModelEvaluation, other: ModelEvaluation) -> dict[str, Any]:
    """Compare FNMR and FMR of masked probes of two models, with 95 % intervals.

    A network that makes masked faces similar lowers the FNMR and raises the FMR, so both are given.
    """
    result: dict[str, Any] = {"model": other.title, "less": first.title, "masked": {}}
    for a, b in zip(first.pair_scores, other.pair_scores, strict=True):
        before, after = (
            model.figures["pairs"][a.pairs.title]["at_unmasked_threshold_fmr_1e-3"]
            for model in (first, other)
        )
        result["masked"][a.pairs.title] = rate_differences(
            before, after, a.headline_rounds, b.headline_rounds
        )
    if first.people is not None and other.people is not None:
        before, after = (
            model.figures["people"]["at_unmasked_threshold"] for model in (first, other)
        )
        result["masked"]["people"] = rate_differences(
            before, after, first.people.headline_rounds, other.people.headline_rounds
        )
    return result


def rate_differences(
    a: dict[str, Any],
    b: dict[str, Any],
    a_rounds: NDArray[np.float64],
    b_rounds: NDArray[np.float64],
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for rate, column in (("fnmr", 0), ("fmr", 1)):
        result[rate] = [a[f"{rate}_masked"], b[f"{rate}_masked"]]
        result[f"{rate}_difference_95"] = interval(b_rounds[:, column] - a_rounds[:, column])
    (low, high), fmr_low = result["fnmr_difference_95"], result["fmr_difference_95"][0]
    if high < 0:
        result["words"] = "lower, but it lets more strangers in" if fmr_low > 0 else "lower"
    else:
        result["words"] = "higher" if low > 0 else "no difference that this data could show"
    return result
