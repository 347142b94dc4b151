from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine import open_engine
from edge.errors import EngineError
from edge.face.explanation import Explainer, explain_score
from edge.face.regions import REGIONS, landmark_regions
from tests.explanations import make_outputs, write_explanation


def unit(rng: np.random.Generator, dimension: int) -> np.ndarray:
    row = rng.standard_normal(dimension).astype(np.float32)
    return row / np.linalg.norm(row)


@given(
    seed=st.integers(0, 2**31),
    size=st.sampled_from((7, 14)),
    dimension=st.integers(2, 64),
)
def test_terms_add_up_to_cosine(seed: int, size: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    outputs = make_outputs(rng, dimension, size)
    template = unit(rng, dimension)
    found = explain_score(outputs, template)
    embedding = outputs["cells"][0].sum(axis=0) + outputs["bias"][0]
    score = float(embedding @ template / np.linalg.norm(embedding))
    assert sum(found.regions.values()) + found.bias == pytest.approx(score, abs=1e-5)
    assert found.cells.shape == (size, size)
    closed = outputs["closed"][0, 0]
    expected = float(closed @ template / np.linalg.norm(closed))
    assert found.without["eyes"] == pytest.approx(expected, abs=1e-5)


def test_cell_counts_for_its_region_alone() -> None:
    outputs = make_outputs(np.random.default_rng(0), 4, 14)
    outputs["cells"][:] = 0
    outputs["cells"][0, 6 * 14 + 5] = [3, 0, 0, 0]  # inside of the eyes
    outputs["bias"][:] = [[0, 4, 0, 0]]
    found = explain_score(outputs, np.array([1, 0, 0, 0], np.float32))
    assert found.regions == {"eyes": 0.6, "nose": 0, "mouth": 0, "rest": 0, "mask": 0}
    assert found.bias == 0 and found.score == pytest.approx(0.6)


def test_absent_mask_has_no_score_without_it() -> None:
    outputs = make_outputs(np.random.default_rng(0), 4, 7)
    assert "mask" not in explain_score(outputs, np.eye(1, 4, dtype=np.float32)[0]).without
    outputs["regions"][0, 3, 10:] = 0
    outputs["regions"][0, REGIONS.index("mask"), 10:] = 1
    assert "mask" in explain_score(outputs, np.eye(1, 4, dtype=np.float32)[0]).without


def test_landmark_regions_cover_each_cell_once() -> None:
    maps = landmark_regions()
    assert np.array_equal(maps.sum(axis=0), np.ones((14, 14))) and maps.any(axis=(1, 2)).all()


@pytest.mark.parametrize("name", ["cells", "bias", "closed"])
def test_explanation_not_finite_is_refused(name: str) -> None:
    outputs = make_outputs(np.random.default_rng(0), 4, 7)
    outputs[name][:] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        explain_score(outputs, np.eye(1, 4, dtype=np.float32)[0])


def test_explainer_refuses_other_networks(tmp_path: Path) -> None:
    explainer = Explainer(open_engine(write_explanation(tmp_path / "e.onnx", 4), threads=1))
    chip = np.zeros((112, 112, 3), np.uint8)
    template = np.eye(1, 4, dtype=np.float32)[0]
    assert explainer.explain(chip, template).score == pytest.approx(
        explainer.explain(chip, -template).score * -1
    )
    with pytest.raises(EngineError, match="4 dimensions, the template 8"):
        explainer.explain(chip, np.ones(8, np.float32))
    explainer.close()
    with pytest.raises(EngineError, match="closed"):
        explainer.explain(chip, template)


def test_explanation_lacks_an_output_is_refused() -> None:
    with pytest.raises(EngineError, match="missing cells"):
        explain_score({}, np.ones(4, np.float32))
