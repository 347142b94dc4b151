from __future__ import annotations

import numpy as np
import pytest

from edge.audit.attention import attention_shares, explanation_fields, overlay
from edge.face.explanation import ScoreExplanation
from edge.values import Probe


def probe(unmasked: np.ndarray) -> Probe:
    maps = np.stack([unmasked, np.zeros((14, 14)), 1 - unmasked]).astype(np.float32)
    return Probe(np.ones(4, np.float32) / 2, maps, 0.0, 1.0)


def test_shares_add_up_and_name_the_region() -> None:
    eyes = np.zeros((14, 14))
    eyes[5:8, 3:11] = 1
    shares = attention_shares(probe(eyes))
    assert shares["on_eyes"] == 1 and shares["mean_mask"] == 0
    even = attention_shares(probe(np.ones((14, 14))))
    assert sum(v for k, v in even.items() if k.startswith("on_")) == pytest.approx(1, abs=1e-3)


def test_shares_of_zero_map_are_zero() -> None:
    assert attention_shares(probe(np.zeros((14, 14))))["on_eyes"] == 0


def test_overlay_has_chip_and_tinted_copy() -> None:
    chip = np.full((112, 112, 3), 100, np.uint8)
    shown = overlay(chip, probe(np.ones((14, 14))).attention)
    assert shown.shape == (112, 224, 3) and np.array_equal(shown[:, :112], chip)
    assert shown[50, 160].argmax() == 1  # green: the map of the face


def test_explanation_is_a_third_picture() -> None:
    chip = np.full((112, 112, 3), 100, np.uint8)
    cells = np.zeros((7, 7), np.float32)
    cells[3, 2], cells[5, 5] = 0.4, -0.2
    explanation = ScoreExplanation(0.25, {"eyes": 0.4, "rest": -0.2}, 0.05, cells, {}, True)
    shown = overlay(chip, probe(np.ones((14, 14))).attention, explanation)
    assert shown.shape == (112, 336, 3)
    third = shown[:, 224:].astype(int)
    assert third[56, 40].argmax() == 2 and third[88, 88].argmax() == 0  # orange, violet
    assert np.array_equal(third[8, 8], [100, 100, 100])


def test_explanation_fields_add_up() -> None:
    regions = {"eyes": 0.3, "nose": 0.1, "mouth": 0.0, "rest": 0.15, "mask": -0.05}
    explanation = ScoreExplanation(
        0.52, regions, 0.02, np.zeros((7, 7), np.float32), {"eyes": 0.21}, True
    )
    fields = explanation_fields(explanation)
    assert fields["score"] == pytest.approx(sum(fields[name] for name in regions) + fields["bias"])
    assert fields["without"] == {"eyes": 0.21} and fields["attention_used"]
