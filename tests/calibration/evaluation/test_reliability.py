"""Reliability table of the expected similarity."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.evaluation.reliability import measure_reliability


def test_reliability_of_a_perfect_prediction() -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)
    found = measure_reliability(values, values)
    assert found["correlation"] == 1 and found["mean_absolute_error"] == 0
    assert sum(row["chips"] for row in found["bins"]) == found["chips"] == 101
    assert len(found["bins"]) == 10
    assert all(row["predicted"] == row["measured"] for row in found["bins"])


def test_reliability_shows_overconfidence() -> None:
    found = measure_reliability(np.full(4, 0.85, np.float32), np.full(4, 0.5, np.float32))
    (row,) = found["bins"]
    assert (row["from"], row["to"], row["chips"]) == (0.8, 0.9, 4)
    assert row["predicted"] - row["measured"] == pytest.approx(0.35)
    assert found["correlation"] is None and found["mean_error"] == pytest.approx(0.35)
