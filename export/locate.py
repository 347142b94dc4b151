"""Where two forms of one ONNX network part: the first layer, in the network's order, whose output or weights differ."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from calibration.int8.report import short
from edge.engine import open_engine

_DIFFERENT = 0.5  # of the spread of a tensor: rounding stays far below, also in int8


@dataclass(frozen=True)
class Parting:
    """The first layer that differs and by how much, as a share of its output's spread."""

    layer: str
    error: float

    def __str__(self) -> str:
        return f"the first layer that differs is {short(self.layer)} (by {self.error:.0%} of its spread)"


def first_difference(reference: Path, candidate: Path, inputs: NDArray[np.float32]) -> Parting | None:
    """Compares the tensors of the same name; None where none differs, or no name is shared. Raises EngineError."""
    models = [onnx.load(path) for path in (reference, candidate)]
    names = [
        [o for node in model.graph.node if node.op_type in ("Conv", "Gemm", "Add", "Mul") for o in node.output] for model in models
    ]
    shared = [name for name in names[0] if name in set(names[1])]
    wanted, found = (_values(model, shared, inputs) for model in models)
    for name in shared:
        spread = float(wanted[name].std()) or 1.0
        error = float(np.sqrt(np.mean((np.nan_to_num(found[name], nan=1e9) - wanted[name]) ** 2))) / spread
        if error > _DIFFERENT:
            layer = next(node.name for node in models[0].graph.node if name in node.output)
            return Parting(layer, error)
    return None


def _values(model: onnx.ModelProto, tensors: Iterable[str], inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What tensors are for these inputs, as float32."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    given = {value.name for value in shown.graph.output}
    # The type is left to ONNX Runtime: half-precision files have half-precision tensors.
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors if name not in given)
    with tempfile.TemporaryDirectory(prefix="mfsa-parity-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(shown, path)
        outputs = open_engine(path, kind="ort", threads=2).run(inputs)
    return {name: value.astype(np.float32) for name, value in outputs.items()}
