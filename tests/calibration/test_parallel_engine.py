"""Batches that run as single chips in several threads."""

from __future__ import annotations

import numpy as np

from calibration.parallel_engine import ParallelEngine, open_parallel_engine
from edge.engine import open_engine
from export.bundle import reference_bundle

MODEL = reference_bundle() / "embedder.onnx"


class IndexEngine:
    """Returns the first pixel of each chip and the size of the batch."""

    def __init__(self) -> None:
        self.is_open = True

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        return {"pixel": batch[:, 0, 0, 0], "size": np.full(len(batch), len(batch))}

    def close(self) -> None:
        self.is_open = False


def test_parallel_engine_keeps_order_of_chips() -> None:
    inner = IndexEngine()
    engine = ParallelEngine(inner, workers=3)
    batch = np.arange(20, dtype=np.float32)[:, None, None, None]
    outputs = engine.run(batch)
    assert outputs["pixel"].tolist() == list(range(20))
    assert outputs["size"].tolist() == [1] * 20
    engine.close()
    assert not inner.is_open


def test_parallel_engine_outputs_equal_batch() -> None:
    batch = np.random.default_rng(0).uniform(-1, 1, (5, 3, 112, 112)).astype(np.float32)
    expected = open_engine(MODEL, threads=2).run(batch)
    found = open_parallel_engine(MODEL).run(batch)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)
