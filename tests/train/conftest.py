from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")


@pytest.fixture
def faces(tmp_path: Path, collins_chip: np.ndarray, hopper_chip: np.ndarray) -> Path:
    """A tiny data set: two people, some with a `m_` name, and a teacher's embeddings."""
    root = tmp_path / "faces"
    rng = np.random.default_rng(0)
    names, embeddings = [], []
    for person, chip in (("collins", collins_chip), ("hopper", hopper_chip)):
        (root / "people" / person).mkdir(parents=True)
        for image in ("u_0.jpg", "u_1.jpg", "u_2.jpg", "m_0.jpg"):
            noisy = np.clip(chip + rng.normal(0, 8, chip.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / "people" / person / image), noisy)
            names.append(f"people/{person}/{image}")
            embeddings.append(rng.standard_normal(32))
    rows = np.array(embeddings, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.savez(root / "teacher.npz", names=np.array(names), embeddings=rows.astype(np.float16))
    return root


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """A recipe for `faces` that ends in seconds; keyword arguments replace top-level keys."""

    def write(**changes: object) -> Path:
        fields = {
            "network": {"embedding": 32, "widths": [8, 8, 16, 16], "blocks": [0, 1, 1, 1]},
            "data": {"sources": ["people"], "teacher": "teacher.npz", "split": []},
            "loss": {"arcface": 0.1},
            "chips": 32,
            "batch": 4,
            "workers": 0,
            "bf16": False,
            "compile": False,
            **changes,
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(fields))
        return path

    return write
