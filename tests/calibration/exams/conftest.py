from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.exams.pair_sets import PairSet

Image = np.ndarray


class PatchEngine:
    """An embedder that one can see through: the embedding is the picture's upper half, small; the map marks that half.

    With `wrong_map` it marks the lower half instead, and `without_map` nothing in particular.
    """

    def __init__(self, kind: str = "right_map") -> None:
        self.attention = np.full((3, 14, 14), 0.1, np.float32)
        rows = {"right_map": slice(0, 7), "wrong_map": slice(7, 14), "without_map": slice(0, 14)}[kind]
        self.attention[0, rows] = 0.9

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        upper = batch[:, :, :56].reshape(len(batch), 3, 7, 8, 14, 8).mean(axis=(3, 5)).reshape(len(batch), -1)
        worn = 1 / (1 + np.exp(-10 * batch[:, 0, 90:100, 50:60].mean(axis=(1, 2))))
        attention = np.broadcast_to(self.attention, (len(batch), 3, 14, 14)).copy()
        return {"embedding": upper - upper.mean(), "attention": attention, "mask_worn": worn.astype(np.float32)}

    def close(self) -> None: ...


@pytest.fixture
def patches() -> type[PatchEngine]:
    return PatchEngine


@pytest.fixture
def pair_set() -> PairSet:
    """Twelve people of random patches, two noisy pictures each, and enough pairs of strangers for FMR 1e-3."""
    rng = np.random.default_rng(0)
    names, encoded, people = [], [], []
    for person in range(12):
        face = cv2.resize(rng.uniform(0, 255, (14, 14, 3)), (112, 112), interpolation=cv2.INTER_NEAREST)
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
