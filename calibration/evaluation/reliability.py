"""Reliability of the expected similarity: predicted against measured cosines of hidden faces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10

Values = NDArray[np.float32]


def measure_reliability(predicted: Values, measured: Values) -> dict[str, Any]:
    """Return the reliability table of predictions (N,) in 0..1 against measured cosines (N,).

    A bin is a tenth of the range of predictions; empty bins are left out. The correlation is
    Pearson's, None if one of both is constant.
    """
    place = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
    bins = [
        {
            "from": i / BINS,
            "to": (i + 1) / BINS,
            "chips": int(inside.sum()),
            "predicted": round(float(predicted[inside].mean()), 4),
            "measured": round(float(measured[inside].mean()), 4),
        }
        for i in range(BINS)
        if (inside := place == i).any()
    ]
    is_constant = min(float(np.ptp(predicted)), float(np.ptp(measured))) == 0
    return {
        "chips": len(predicted),
        "correlation": None
        if is_constant
        else round(float(np.corrcoef(predicted, measured)[0, 1]), 4),
        "mean_error": round(float((predicted - measured).mean()), 4),
        "mean_absolute_error": round(float(np.abs(predicted - measured).mean()), 4),
        "bins": bins,
    }
