from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.evaluation.pair_sets import PairSet
from edge.face.explanation import Explainer
from tests.explanations import make_outputs

Image = np.ndarray


class PatchEngine:
    """Embedder with predictable results.

    It reads the half of the picture, upper or lower, that is brighter on average.

    Its map marks that half, or the other one with `wrong_map`; with `same_map` it reads and marks
    the upper half of every picture, with `without_map` it reads that and marks nothing, and with
    `encoder` it reads that and has no other output. `passes` has a hash of each input.
    """

    def __init__(self, kind: str = "same_map") -> None:
        self.kind = kind
        self.passes: list[int] = []

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self.passes += [hash(chip.tobytes()) for chip in batch]
        halves = batch.reshape(len(batch), 3, 2, 7, 8, 14, 8).mean(
            axis=(4, 6)
        )  # (N, 3, half, 7, 14)
        brighter = halves.mean(axis=(1, 3, 4)).argmax(axis=1)
        lower = brighter if self.kind in ("right_map", "wrong_map") else np.zeros(len(batch), int)
        read = halves[np.arange(len(batch)), :, lower].reshape(len(batch), -1)
        read -= read.mean(axis=1, keepdims=True)
        marked = 1 - lower if self.kind == "wrong_map" else lower
        attention = np.full((len(batch), 3, 14, 14), 0.1, np.float32)
        attention[:, 0] = np.where(
            (np.arange(14) // 7)[None, :, None] == marked[:, None, None], 0.9, 0.1
        )
        if self.kind == "without_map":
            attention[:, 0] = 1
        worn = 1 / (1 + np.exp(-10 * batch[:, 0, 90:100, 50:60].mean(axis=(1, 2))))
        if self.kind == "encoder":
            return {"embedding": read}
        return {
            "embedding": read,
            "attention": attention,
            "mask_worn": worn.astype(np.float32),
            "expected_similarity": np.full(len(batch), 0.75, np.float32),
        }

    def close(self) -> None: ...


class PatchExplanation:
    """Explanation of `PatchEngine("right_map")`: only cells of the brighter half contribute."""

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        halves = batch.reshape(1, 3, 2, 7, 8, 14, 8).mean(axis=(4, 6))[0]
        lower = int(halves.mean(axis=(0, 2, 3)).argmax())
        cells = np.zeros((2, 7, 14, 3, 7, 14), np.float32)
        row, column = np.mgrid[:7, :14]
        read = halves[:, lower] - halves[:, lower].mean()
        cells[lower, row, column, :, row, column] = read[:, row, column].transpose(1, 2, 0)
        outputs = make_outputs(np.random.default_rng(0), 294, 14)
        return {
            **outputs,
            "cells": cells.reshape(1, 196, 294),
            "bias": np.zeros((1, 294), np.float32),
        }

    def close(self) -> None: ...


@pytest.fixture
def patch_explainer() -> Explainer:
    return Explainer(PatchExplanation())


@pytest.fixture
def patches() -> type[PatchEngine]:
    return PatchEngine


@pytest.fixture
def pair_set() -> PairSet:
    """Twelve synthetic people, two noisy pictures each; enough non-mated pairs for FMR 1e-3."""
    rng = np.random.default_rng(0)
    names, encoded, people = [], [], []
    for person in range(12):
        patches = rng.uniform(0, 140, (14, 14, 3))
        patches[slice(0, 7) if person % 2 else slice(7, 14)] += 110  # one half is brighter
        face = cv2.resize(patches, (112, 112), interpolation=cv2.INTER_NEAREST)
        for picture in range(2):
            noisy = (face + rng.normal(0, 12, face.shape)).clip(0, 255).astype(np.uint8)
            names.append(f"p{person}/{picture}.png")
            encoded.append(cv2.imencode(".png", noisy)[1].tobytes())
            people.append(person)
    strangers = [(a, b) for a in range(24) for b in range(24) if people[a] != people[b]] * 2
    first = np.array([2 * p for p in range(12)] + [a for a, _ in strangers])
    second = np.array([2 * p + 1 for p in range(12)] + [b for _, b in strangers])
    mated = np.array([True] * 12 + [False] * len(strangers))
    return PairSet("patches", names, encoded, first, second, mated, np.array(people))
