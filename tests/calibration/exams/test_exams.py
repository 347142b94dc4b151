"""Each exam on material whose result is known beforehand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from calibration.chips import ChipFolder
from calibration.exams import pairs, people, places, real_masks, trust
from calibration.exams.pair_sets import PairSet
from calibration.scores import Embedded
from edge import masks
from edge.errors import ConfigError
from edge.face.detect import Detector


def test_pairs_of_a_perfect_embedder(patches: Any, pair_set: PairSet) -> None:
    scored = pairs.sit(patches(), pair_set, every_condition=True)
    told = scored.figures()
    json.dumps(told, allow_nan=False)
    assert told["clean"]["eer"] == 0 and told["clean"]["fnmr_at_unmasked_threshold"] == 0
    # Masks hide little of the upper half, so masked pairs are told apart as well; sunglasses and caps hide more of it.
    assert told["one_masked"]["tar_at_fmr_0.01"] == 1
    conditions = {f"one_masked:{family}" for family in masks.EXAM_FAMILIES + masks.HELD_OUT}
    assert conditions <= told.keys() and "one_with:hand" in told and "faces_found_again" not in told
    assert told["at_unmasked_threshold_fmr_1e-3"]["threshold"] < 1


def test_the_headline_is_fnmr_and_fmr_of_masked_probes_at_one_threshold(pair_set: PairSet) -> None:
    count, strangers = 12, int((~pair_set.mated).sum())
    scored = pairs.PairScores(pair_set)
    clean = np.concatenate([np.full(count, 0.9), np.linspace(-0.5, 0.5, strangers)]).astype(np.float32)
    masked = np.concatenate(
        [np.repeat([0.9, 0.4], count // 2), np.repeat([0.6, 0.0], [strangers // 4, strangers - strangers // 4])]
    )
    scored.by_condition = {"clean": clean, "one_masked": masked.astype(np.float32), "both_masked": clean}
    scored.mask_worn = {"clean": np.zeros(24, np.float32), "masked": np.ones(24, np.float32)}
    fixed = scored.figures()["at_unmasked_threshold_fmr_1e-3"]
    assert 0.45 < fixed["threshold"] < 0.5 and fixed["fnmr_unmasked"] == 0
    assert fixed["fnmr_masked"] == 0.5 and fixed["fmr_masked"] == pytest.approx(0.25, abs=0.01)
    low, high = fixed["fnmr_masked_95"]
    assert 0.1 < low < 0.5 < high < 0.9
    assert np.array_equal(scored.headline_rounds(), scored.headline_rounds())


def test_too_few_pairs_are_refused(patches: Any, pair_set: PairSet) -> None:
    few = PairSet(
        "few",
        *(getattr(pair_set, n) for n in ("names", "encoded")),
        *(getattr(pair_set, n)[:50] for n in ("first", "second", "mated")),
        pair_set.people,
    )
    with pytest.raises(ConfigError, match="needs at least 1,000 non-mated pairs"):
        pairs.sit(patches(), few, every_condition=False)


def test_landmarks_are_found_again_on_masked_chips(collins_chip: np.ndarray, detector: Detector) -> None:
    found: list[bool] = []
    worn = masks.draw(collins_chip, masks.exam_style("a/b"))[0]
    again = pairs._find_again(worn, detector, found)
    assert found == [True] and again.shape == worn.shape
    assert 0 < np.abs(again.astype(int) - worn).mean() < 40  # moved a little, and still the same face
    nothing = np.zeros_like(worn)
    assert pairs._find_again(nothing, detector, found) is nothing and found == [True, False]


def folder(pair_set: PairSet) -> ChipFolder:
    identities = {f"p{p}": p for p in range(12)}
    return ChipFolder(tuple(pair_set.names), tuple(pair_set.encoded), pair_set.people, identities)


def test_all_against_all(patches: Any, pair_set: PairSet) -> None:
    told = people.sit(patches(), folder(pair_set)).figures()
    json.dumps(told, allow_nan=False)
    assert told["people"] == 12 and told["clean"]["mated"] == 12 and told["clean"]["non_mated"] == 24 * 23 // 2 - 12
    assert told["at_unmasked_threshold"]["fnmr_masked"] == 0 and told["identification"] == {}
    with pytest.raises(ConfigError, match="at least two people"):
        people.sit(patches(), ChipFolder(("a/1",), (pair_set.encoded[0],), np.zeros(1, np.int64), {"a": 0}))


def test_searches_in_a_gallery() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((80, 64))
    labels = np.repeat(np.arange(80), 4)

    def embedded(noise: float) -> Embedded:
        vectors = centres[labels] + noise * rng.standard_normal((320, 64))
        return Embedded((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels)

    easy = people.identification(embedded(0.2), embedded(0.3))
    hard = people.identification(embedded(0.2), embedded(5.0))
    assert easy["gallery"] == 40 and easy["fnir"] == easy["fnir_masked"] == 0
    assert hard["fnir"] == 0 and hard["fnir_masked"] > 0.8


def test_real_masks_are_counted() -> None:
    unmasked = np.linspace(0, 0.3, 200).astype(np.float32)
    masked = np.array([0.9] * 30 + [0.4] * 6 + [0.1] * 4, np.float32)
    told = real_masks.detection(masked, unmasked)
    assert told["recall_at_1_percent_false_alarms"] == 0.9 and 0.29 < told["threshold"] < 0.3
    assert told["confusion_at_half"]["mask_seen_where_worn"] == 30 and told["confusion_at_half"]["mask_seen_where_none"] == 0
    low, high = told["recall_95"]
    assert 0.75 < low < 0.9 < high < 0.97


def test_real_masks_of_people_who_are_known(patches: Any, pair_set: PairSet) -> None:
    chips = folder(pair_set)
    even = ChipFolder(chips.names[::2], chips.encoded[::2], chips.labels[::2], chips.identities)
    told = real_masks.sit(patches(), even, chips)["verification"]
    assert told["at_unmasked_threshold_fmr_0.01"]["fnmr"] == 0 and told["mated"] == 24


def test_auc_is_the_share_of_pixel_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    value, want = rng.integers(0, 9, (1, 8, 8)).astype(np.float32), np.zeros((1, 8, 8), bool)
    want[0, :4] = True
    inside, outside = value[want], value[~want]
    expected = ((inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()).item()
    assert places._auc(value, want) == pytest.approx(expected)
    assert np.isnan(places._auc(value, np.zeros_like(want)))


def test_a_map_that_follows_what_hides_the_face_beats_the_best_constant_one() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 56, 56), np.float32)
    for one in truth:
        y, x = rng.integers(10, 30, 2)
        one[y : y + 16, x : x + 16] = 1
    following = np.stack([1 - truth, truth, np.zeros_like(truth)], axis=1)
    told = places.on_covered(places.Look(following, truth))
    assert told["mask_map_auc"]["per_image"] == 1 and told["mask_map_auc"]["gain"] > 0.1
    assert told["unmasked_on_cover_to_skin"] == 0 and told["leak_to_cover"] == 0 and told["overlap"] == 0
    still = np.broadcast_to(following.mean(axis=0), following.shape)
    assert places.on_covered(places.Look(still, truth))["mask_map_auc"]["gain"] <= 0


def test_what_a_map_makes_of_a_bare_face() -> None:
    maps = np.zeros((2, 3, 56, 56), np.float32)
    maps[:, 0, :36], maps[:, 0, 36:] = 0.8, 0.4
    told = places.on_clean(places.Look(maps, np.zeros((2, 56, 56), np.float32)))
    assert told["lower_to_upper"] == 0.5 and told["mask_map_on_face"] == 0


def test_places_on_an_engine(patches: Any, pair_set: PairSet) -> None:
    told = places.sit(patches(), pair_set)
    assert told["clean"]["lower_to_upper"] < 0.4 and told["exam_masks"]["unmasked_on_cover_to_skin"] < 0.5
    assert {"in_places", *(f"unseen:{family}" for family in masks.HELD_OUT)} <= told.keys()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("right_map", "may be shown"), ("wrong_map", "Do not show the map"), ("without_map", "has no map of its own")],
)
def test_a_map_is_trusted_only_where_the_embedding_reads(patches: Any, pair_set: PairSet, kind: str, words: str) -> None:
    curves = trust.sit(patches(kind), pair_set)
    json.dumps(curves.figures, allow_nan=False)
    assert words in curves.figures["verdict"]
    if kind == "right_map":
        assert curves.figures["deletion_gain"]["low"] > 0 and curves.figures["insertion_gain"]["low"] > 0
        whole, none = curves.deletion["map"][0], curves.insertion["map"][-1]
        assert whole == pytest.approx(none) and whole > 0.8  # the whole chip, hidden nowhere or revealed everywhere
