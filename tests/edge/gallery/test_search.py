from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.gallery.search import Index


@given(seed=st.integers(0, 10_000), templates=st.integers(1, 40), people=st.integers(1, 8))
def test_equals_brute_force(seed: int, templates: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((templates, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = [f"p{i}" for i in rng.integers(0, people, templates)]
    probe = rows[0] + 0.1 * rng.standard_normal(8).astype(np.float32)
    match = Index(names, rows).search(probe)
    best: dict[str, float] = {}
    for name, row in zip(names, rows, strict=True):
        best[name] = max(best.get(name, -9.0), float(row @ probe))
    ranked = sorted(best.values(), reverse=True)
    assert match is not None
    assert match.score == pytest.approx(ranked[0], abs=1e-5)
    assert best[match.subject] == pytest.approx(ranked[0], abs=1e-5)
    assert match.runner_up == pytest.approx(ranked[1] if len(ranked) > 1 else -1.0, abs=1e-5)


def test_an_empty_gallery_knows_nobody() -> None:
    assert Index([], np.zeros((0, 0), np.float32)).search(np.zeros(8, np.float32)) is None
