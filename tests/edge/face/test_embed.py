from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import EngineError
from edge.face.embed import Embedder


class Broken:
    """Engine with the outputs of a test."""

    def __init__(self, **outputs: np.ndarray) -> None:
        self.outputs = outputs

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return self.outputs

    def close(self) -> None: ...


def outputs(embedding: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "embedding": embedding,
        "attention": np.ones((1, 3, 14, 14), np.float32),
        "mask_worn": np.zeros(1, np.float32),
        "expected_similarity": np.ones(1, np.float32),
    }


def test_probes_are_what_they_promise(
    embedder: Embedder, collins_chip: np.ndarray, hopper_chip: np.ndarray
) -> None:
    probes = embedder.embed(np.stack([collins_chip, hopper_chip]))
    for probe in probes:
        assert np.linalg.norm(probe.embedding) == pytest.approx(1, abs=1e-5)
        assert probe.attention.shape == (3, 14, 14)
        assert np.allclose(probe.attention.sum(axis=0), 1, atol=1e-5)
        assert 0 <= probe.mask_worn <= 1 and 0 <= probe.expected_similarity <= 1


def test_the_same_person_is_nearer_than_another(
    embedder: Embedder, collins_chip: np.ndarray, hopper_chip: np.ndarray
) -> None:
    dark = (cv2.GaussianBlur(collins_chip, (0, 0), 1.0) * 0.6).astype(np.uint8)
    collins, again, hopper = (
        p.embedding for p in embedder.embed(np.stack([collins_chip, dark, hopper_chip]))
    )
    assert collins @ again > 0.7
    assert collins @ hopper < 0.4


def test_no_chips_no_probes(embedder: Embedder) -> None:
    assert embedder.embed(np.zeros((0, 112, 112, 3), np.uint8)) == []


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_broken_engine_is_noticed(value: float, collins_chip: np.ndarray) -> None:
    broken = Embedder(Broken(**outputs(np.full((1, 8), value, np.float32))))
    with pytest.raises(EngineError, match="not finite, or an embedding of zeros"):
        broken.embed(collins_chip[None])


def test_another_network_is_noticed(collins_chip: np.ndarray) -> None:
    with pytest.raises(EngineError, match="missing attention, mask_worn, expected_similarity"):
        Embedder(Broken(embedding=np.ones((1, 8), np.float32))).embed(collins_chip[None])


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_expected_similarity_out_of_range_raises(value: float, collins_chip: np.ndarray) -> None:
    shown = outputs(np.ones((1, 8), np.float32))
    shown["expected_similarity"] = np.full(1, value, np.float32)
    with pytest.raises(EngineError, match="the engine is broken"):
        Embedder(Broken(**shown)).embed(collins_chip[None])


def test_embedder_with_three_outputs_is_refused(collins_chip: np.ndarray) -> None:
    shown = outputs(np.ones((1, 8), np.float32))
    del shown["expected_similarity"]
    with pytest.raises(EngineError, match=r"missing expected_similarity: .*of an older version"):
        Embedder(Broken(**shown)).embed(collins_chip[None])
