"""Search of the first layer whose output or weights differ between two ONNX networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.int8.probe_session import session_with_outputs
from calibration.int8.report import short_layer_name

_DIFFERENT = 0.5  # of the spread of a tensor: rounding stays far below, also in int8


@dataclass(frozen=True)
class LayerDifference:
    """First layer that differs, and its error as a share of its output's spread."""

    layer: str
    error: float

    def __str__(self) -> str:
        how = "in shape" if np.isinf(self.error) else f"by {self.error:.0%} of its spread"
        return f"the first layer that differs is {short_layer_name(self.layer)} ({how})"


def first_difference(
    reference: Path, candidate: Path, inputs: NDArray[np.float32]
) -> LayerDifference | None:
    """Return the first different tensor of both files; None without one. Raises EngineError."""
    models = [onnx.load(path) for path in (reference, candidate)]
    names = [
        [
            o
            for node in model.graph.node
            if node.op_type in ("Conv", "Gemm", "Add", "Mul")
            for o in node.output
        ]
        for model in models
    ]
    shared = [name for name in names[0] if name in set(names[1])]
    values = []
    for model in models:
        with session_with_outputs(model, shared) as engine:
            values.append(engine.run(inputs))
    wanted, found = values
    for name in shared:
        error = _difference(wanted[name].astype(np.float32), found[name].astype(np.float32))
        if error > _DIFFERENT:
            return LayerDifference(
                next(node.name for node in models[0].graph.node if name in node.output), error
            )
    return None


def _difference(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the root mean square error as a share of the spread; infinite for other shapes."""
    if wanted.shape != found.shape:
        return float("inf")
    spread = float(wanted.std()) or 1.0
    return float(np.sqrt(np.mean((np.nan_to_num(found, nan=1e9) - wanted) ** 2))) / spread
