"""Evaluation of synthetic material with known results."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from calibration import metrics
from calibration.chips import ChipFolder
from calibration.evaluation import (
    attention_localization,
    comparisons,
    faithfulness,
    pairs,
    people,
    real_masks,
    report,
)
from calibration.evaluation.pair_sets import PairSet
from calibration.evaluation.results import (
    EvaluationData,
    ModelEvaluation,
    compare_models,
    evaluate_model,
)
from calibration.scores import LabelledEmbeddings, all_scores
from edge import masks
from edge.errors import ConfigError
from edge.face.explanation import Explainer


def test_pairs_of_a_perfect_embedder(patches: Any, pair_set: PairSet) -> None:
    scored = pairs.run(patches(), pair_set, every_condition=True)
    figures = scored.figures()
    json.dumps(figures, allow_nan=False)
    assert figures["clean"]["eer"] == 0 and figures["clean"]["fnmr_at_unmasked_threshold"] == 0
    # Masks hide little of the upper half, so masked pairs are separated as well; sunglasses and
    # caps hide more of it.
    assert figures["one_masked"]["tar_at_fmr_0.01"] == 1
    conditions = {f"one_masked:{family}" for family in masks.PROTOCOL_FAMILIES + masks.HELD_OUT}
    assert (
        conditions <= figures.keys()
        and "one_with:hand" in figures
        and "faces_found_again" not in figures
    )
    assert figures["at_unmasked_threshold_fmr_1e-3"]["threshold"] < 1


def test_encoder_without_maps_is_compared(patches: Any, pair_set: PairSet) -> None:
    data = EvaluationData([pair_set], None, None, kept_apart=True)
    done = [ModelEvaluation(kind, {}, patches(kind)) for kind in ("same_map", "encoder")]
    for evaluation in done:
        evaluate_model(evaluation, data, detector=None, quick=True)
    embedder, encoder = (evaluation.figures for evaluation in done)
    assert "places" in embedder and "places" not in encoder
    (found,), (wanted,) = encoder["pairs"].values(), embedder["pairs"].values()
    assert found["one_masked"] == wanted["one_masked"] and "mask_worn" not in found
    compared = [compare_models(done[0], done[1])]
    assert "\n    -   encoder\n" in report.text(done, compared)
    assert "encoder" in report.render_page(done, compared, show_faces=False)


def headline_scores(
    pair_set: PairSet, masked_mated: float, masked_strangers: float
) -> pairs.PairScores:
    """Return scores that separate all unmasked pairs.

    Half of the masked mated scores at one value, a quarter of the masked strangers at another.
    """
    count, strangers = 12, int((~pair_set.mated).sum())
    scored = pairs.PairScores(pair_set)
    clean = np.concatenate(
        [
            np.full(count, 0.9),
            np.random.default_rng(0).permutation(np.linspace(-0.5, 0.5, strangers)),
        ]
    )
    quarter = np.arange(strangers) % 4 == 0
    masked = np.concatenate(
        [np.repeat([0.9, masked_mated], count // 2), np.where(quarter, masked_strangers, 0.0)]
    )
    scored.by_condition = {
        "clean": clean.astype(np.float32),
        "one_masked": masked.astype(np.float32),
    }
    scored.mask_worn = {"clean": np.zeros(24, np.float32), "masked": np.ones(24, np.float32)}
    return scored


def test_headline_fnmr_and_fmr_share_threshold(pair_set: PairSet) -> None:
    fixed = headline_scores(pair_set, 0.4, 0.6).figures()["at_unmasked_threshold_fmr_1e-3"]
    assert 0.45 < fixed["threshold"] < 0.5 and fixed["fnmr_unmasked"] == 0
    assert fixed["fnmr_masked"] == 0.5 and fixed["fmr_masked"] == pytest.approx(0.25, abs=0.01)
    low, high = fixed["fnmr_masked_95"]
    assert 0.1 < low < 0.5 < high < 0.9
    low, high = fixed["fmr_masked_95"]
    assert 0.1 < low <= 0.25 <= high < 0.4


def test_interval_includes_threshold_variation() -> None:
    """Mated scores spread over where the impostors end: the threshold's own spread must show."""
    rng = np.random.default_rng(1)
    people = rng.permutation(4000)
    first, second = people[:2000], people[2000:]
    mated = np.arange(2000) < 1000
    second[mated] = first[mated]
    scores = np.where(mated, rng.normal(0.6, 0.15, 2000), rng.normal(0, 0.2, 2000)).astype(
        np.float32
    )
    compared = comparisons.compare_pairs(scores, mated, first, second, 4000)
    found = []
    for _ in range(200):  # what other draws of the same world give
        own, other = rng.normal(0.6, 0.15, 1000), rng.normal(0, 0.2, 1000)
        found.append((own < np.sort(other)[-2]).mean())
    spread = comparisons.masked_rounds(compared, compared, 1e-3)[:, 0].std()
    assert 0.4 < spread / np.std(found) < 2.5


def test_compare_all_in_blocks_equals_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "BLOCK_ROWS", 7)
    monkeypatch.setattr(comparisons, "MIN_KEPT", 30)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, 40)
    a, b = (
        LabelledEmbeddings(rng.standard_normal((40, 8)).astype(np.float32), labels)
        for _ in range(2)
    )
    for probes, templates in ((a, a), (a, b)):
        compared = comparisons.compare_all(probes, templates)
        mated, non_mated = all_scores(probes, templates)
        assert np.allclose(np.sort(compared.mated), np.sort(mated)) and compared.count == len(
            non_mated
        )
        assert np.allclose(compared.impostors, np.sort(non_mated)[::-1][: len(compared.impostors)])
        assert compared.threshold(0.02) == pytest.approx(metrics.threshold_at_fmr(non_mated, 0.02))
        assert compared.impostor_weight(np.ones(12)) == len(non_mated)
        drawn = rng.integers(0, 3, 12).astype(float)
        own = labels[:, None] == labels[None]
        wanted = np.triu(np.ones_like(own), 1) if probes is templates else ~np.eye(40, dtype=bool)
        assert compared.impostor_weight(drawn) == pytest.approx(
            (np.outer(drawn[labels], drawn[labels]) * (~own & wanted)).sum()
        )


def test_too_few_pairs_are_refused(patches: Any, pair_set: PairSet) -> None:
    few = PairSet(
        "few",
        *(getattr(pair_set, n) for n in ("names", "encoded")),
        *(getattr(pair_set, n)[:50] for n in ("first", "second", "mated")),
        pair_set.people,
    )
    with pytest.raises(ConfigError, match="needs at least 1,000 non-mated pairs"):
        pairs.run(patches(), few, every_condition=False)


def folder(pair_set: PairSet) -> ChipFolder:
    identities = {f"p{p}": p for p in range(12)}
    return ChipFolder(tuple(pair_set.names), tuple(pair_set.encoded), pair_set.people, identities)


def test_all_against_all(patches: Any, pair_set: PairSet) -> None:
    figures = people.run(patches(), folder(pair_set)).figures()
    json.dumps(figures, allow_nan=False)
    assert (
        figures["people"] == 12
        and figures["clean"]["mated"] == 12
        and figures["clean"]["non_mated"] == 24 * 23 // 2 - 12
    )
    assert figures["at_unmasked_threshold"]["fnmr_masked"] == 0 and figures["identification"] == {}
    with pytest.raises(ConfigError, match="at least two people"):
        people.run(
            patches(), ChipFolder(("a/1",), (pair_set.encoded[0],), np.zeros(1, np.int64), {"a": 0})
        )


def test_searches_in_a_gallery() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((80, 64))
    labels = np.repeat(np.arange(80), 4)

    def embedded(noise: float) -> LabelledEmbeddings:
        vectors = centres[labels] + noise * rng.standard_normal((320, 64))
        return LabelledEmbeddings(
            (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels
        )

    easy = people.identification(embedded(0.2), embedded(0.3))
    hard = people.identification(embedded(0.2), embedded(5.0))
    assert easy["gallery"] == 40 and easy["fnir"] == easy["fnir_masked"] == 0
    assert hard["fnir"] == 0 and hard["fnir_masked"] > 0.8


def test_one_search_in_a_hundred_finds_a_stranger() -> None:
    """A threshold at FPIR 1 % accepts 1 % of masked probes if embeddings are random."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(200), 4)

    def noise() -> LabelledEmbeddings:
        vectors = rng.standard_normal((800, 16))
        return LabelledEmbeddings(
            (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels
        )

    figures = people.identification(noise(), noise())
    assert 0.003 < figures["fpir_masked"] < 0.03 and figures["fnir"] > 0.97


def test_real_masks_are_counted() -> None:
    unmasked = np.linspace(0, 0.3, 200).astype(np.float32)
    masked = np.array([0.9] * 30 + [0.4] * 6 + [0.1] * 4, np.float32)
    figures = real_masks.detection(masked, unmasked, np.arange(40) % 8, np.arange(200) % 8)
    assert figures["recall_at_1_percent_false_alarms"] == 0.9 and 0.29 < figures["threshold"] < 0.3
    assert (
        figures["confusion_at_half"]["mask_seen_where_worn"] == 30
        and figures["confusion_at_half"]["mask_seen_where_none"] == 0
    )
    low, high = figures["recall_95"]
    assert 0.75 < low < 0.9 < high <= 1
    one_person = real_masks.detection(masked, unmasked, np.repeat([0, 1], 20), np.arange(200) % 8)
    assert one_person["recall_95"][0] < low  # forty pictures of two people say less than of eight
    assert "recall_95" not in real_masks.detection(
        masked, unmasked[:50], np.arange(40) % 8, np.arange(50) % 8
    )


def test_real_masks_of_people_who_are_known(patches: Any, pair_set: PairSet) -> None:
    chips = folder(pair_set)
    even = ChipFolder(chips.names[::2], chips.encoded[::2], chips.labels[::2], chips.identities)
    figures = real_masks.run(patches(), even, chips)["verification"]
    assert (
        figures["mated"] == 24 and "at_unmasked_threshold_fmr_0.01" not in figures
    )  # 264 pairs say nothing of FMR 1e-2


def test_auc_equals_share_of_ordered_pixel_pairs() -> None:
    rng = np.random.default_rng(0)
    value, want = rng.integers(0, 9, (1, 8, 8)).astype(np.float32), np.zeros((1, 8, 8), bool)
    want[0, :4] = True
    inside, outside = value[want], value[~want]
    expected = (
        (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
    ).item()
    assert attention_localization.pixel_auc(value, want) == pytest.approx(expected)
    assert np.isnan(attention_localization.pixel_auc(value, np.zeros_like(want)))


def test_following_map_beats_constant_map() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 56, 56), np.float32)
    for one in truth:
        y, x = rng.integers(10, 30, 2)
        one[y : y + 16, x : x + 16] = 1
    following = np.stack([1 - truth, truth, np.zeros_like(truth)], axis=1)
    figures = attention_localization.measure_covered(
        attention_localization.AttentionSamples(following, truth)
    )
    assert figures["mask_map_auc"]["per_image"] == 1 and figures["mask_map_auc"]["gain"] > 0.1
    assert (
        figures["unmasked_on_cover_to_skin"] == 0
        and figures["leak_to_cover"] == 0
        and figures["overlap"] == 0
    )
    still = np.broadcast_to(following.mean(axis=0), following.shape)
    assert (
        attention_localization.measure_covered(
            attention_localization.AttentionSamples(still, truth)
        )["mask_map_auc"]["gain"]
        <= 0
    )


def test_what_a_map_makes_of_a_bare_face() -> None:
    maps = np.zeros((2, 3, 56, 56), np.float32)
    maps[:, 0, :36], maps[:, 0, 36:] = 0.8, 0.4
    figures = attention_localization.measure_clean(
        attention_localization.AttentionSamples(maps, np.zeros((2, 56, 56), np.float32))
    )
    assert figures["lower_to_upper"] == 0.5 and figures["mask_map_on_face"] == 0


def test_places_on_an_engine(patches: Any, pair_set: PairSet) -> None:
    figures = attention_localization.run(patches(), pair_set)
    assert (
        figures["clean"]["lower_to_upper"] < 0.4
        and figures["exam_masks"]["unmasked_on_cover_to_skin"] < 0.5
    )
    assert {"in_places", *(f"unseen:{family}" for family in masks.HELD_OUT)} <= figures.keys()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("right_map", "may be shown as where the decision looked"),
        ("same_map", "one fixed map for all faces does as well"),
        ("wrong_map", "Do not show the map"),
        ("without_map", "has no map of its own"),
    ],
)
def test_faithfulness_verdict_by_map_kind(
    patches: Any, pair_set: PairSet, kind: str, words: str
) -> None:
    curves = faithfulness.run(patches(kind), pair_set)
    json.dumps(curves.figures, allow_nan=False)
    assert words in curves.figures["verdict"]
    if kind == "right_map":
        assert "steady" in curves.figures["verdict"]
        visible, none = curves.deletion["map"][0], curves.insertion["map"][-1]
        assert (
            visible == pytest.approx(none) and visible > 0.8
        )  # the complete chip: nothing hidden or all revealed


def test_faithfulness_runs_no_chip_twice(patches: Any, pair_set: PairSet) -> None:
    engine = patches("right_map")
    faithfulness.run(engine, pair_set)
    mated, orders, shares, blocks = 12, 4, 13, 49
    # Template, unchanged, blurred and three small changes; shares 0 and 1 of all orders are equal.
    assert len(engine.passes) <= mated * (6 + blocks + 2 * orders * shares)
    assert len(set(engine.passes)) == len(engine.passes)


def test_faithfulness_measures_the_split(
    patches: Any, pair_set: PairSet, patch_explainer: Explainer
) -> None:
    curves = faithfulness.run(
        patches("right_map"), pair_set, probes="places", explainer=patch_explainer
    )
    json.dumps(curves.figures, allow_nan=False)
    areas = curves.figures["deletion_area"]
    assert areas["split"] < areas["random"] and areas["split"] < areas["constant split"]
    assert curves.figures["probes"] == "places" and not curves.figures["masked"]
    assert "The contributions to the score are of this face" in curves.figures["verdict"]
