"""Compare checkpoint, ONNX, INT8 ONNX and TensorRT forms of an embedder on the same chips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.faces import pick_faces
from edge.bundle import EMBEDDER, MANIFEST, ParityResult, file_digest, open_bundle
from edge.chip import PREPROCESSING, to_input
from edge.engine import Engine, open_engine
from edge.engine.cuda import find_device
from edge.engine.sidecar import read_sidecar
from edge.engine.trt import TrtEngine, import_pycuda, import_tensorrt, read_plan
from edge.errors import ConfigError, EngineError
from edge.values import Precision
from export.parity import Outputs, check_embedder, is_input_mistake, run_chips
from export.parity_data import ParityReference, portrait_chips

_SEARCH_CHIPS = 4  # for the search of the first different layer


@dataclass(frozen=True, eq=False)
class EmbedderForm:
    """File of an embedder with its engine."""

    path: Path
    engine: Engine
    precision: Precision


class FixedBatchEngine:
    """Engine wrapper that pads batches to a fixed size."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self._engine, self._batch = engine, batch

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        parts = []
        for start in range(0, len(batch), self._batch):
            share = batch[start : start + self._batch]
            filled = np.concatenate(
                [share, np.zeros((self._batch - len(share), *share.shape[1:]), np.float32)]
            )
            parts.append(
                {name: value[: len(share)] for name, value in self._engine.run(filled).items()}
            )
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        self._engine.close()


def open_form(path: Path) -> EmbedderForm:
    """Open a checkpoint, ONNX file or plan; raises ConfigError or EngineError."""
    if not path.is_file():
        raise ConfigError(f"{path}: expected a checkpoint, an ONNX file or a plan, found none")
    if path.suffix in (".pt", ".safetensors"):
        try:
            from train.torch_engine import TorchEngine
            from train.weights import load_network
        except ImportError as error:
            raise EngineError(
                f"{path}: a checkpoint needs torch ({error}): pip install 'mfsa-edge[train]'"
            ) from error
        return EmbedderForm(path, TorchEngine(load_network(path)), "fp32")
    if path.suffix == ".plan":
        find_device()  # before TensorRT is imported
        sidecar = read_sidecar(path)
        engine = TrtEngine(
            path, read_plan(path), import_tensorrt(), import_pycuda(), dla_core=sidecar.dla_core
        )
        return EmbedderForm(path, engine, sidecar.precision)
    network = open_engine(path, threads=2)
    precision, batch = _of_onnx(path)
    return EmbedderForm(
        path, network if batch is None else FixedBatchEngine(network, batch), precision
    )


def _of_onnx(path: Path) -> tuple[Precision, int | None]:
    """Return precision and fixed batch from the nodes and weights of an ONNX file."""
    import onnx

    graph = onnx.load(path).graph
    first = graph.input[0].type.tensor_type.shape.dim[0]
    batch = None if first.dim_param else first.dim_value
    if any(node.op_type == "QuantizeLinear" for node in graph.node):
        return "int8", batch
    half = onnx.TensorProto.FLOAT16
    return (
        "fp16" if any(tensor.data_type == half for tensor in graph.initializer) else "fp32"
    ), batch


@dataclass(frozen=True, eq=False)
class ComparisonReference:
    """FP32 network: its file, the chips to compare on and its outputs for them."""

    path: Path
    parity: ParityReference

    @classmethod
    def load(cls, path: Path, site: Path | None, max_chips: int) -> ComparisonReference:
        """Load from a bundle with its own chips, or run a file on the chips of the portraits."""
        if (path / MANIFEST).is_file():
            return cls(
                path / EMBEDDER,
                ParityReference.load(
                    open_bundle(path, PREPROCESSING, complete=False), site, max_chips
                ),
            )
        chips = (
            portrait_chips()
            if site is None
            else np.concatenate([portrait_chips(), pick_faces(site, max_chips)])
        )
        return cls(path, ParityReference(chips, run_chips(open_form(path).engine, to_input(chips))))


def compare_form(
    reference: ComparisonReference, candidate: EmbedderForm, precision: Precision
) -> ParityResult:
    """Return the parity result; for two ONNX files the reason names the first different layer.

    Raises EngineError.
    """
    chips = reference.parity.chips
    verdict = check_embedder(
        candidate.engine, chips, reference.parity.expected, precision,
        judged=file_digest(candidate.path), reference=file_digest(reference.path),
    )  # fmt: skip
    both_onnx = {reference.path.suffix, candidate.path.suffix} == {".onnx"}
    if (
        verdict.passed
        or is_input_mistake(verdict.reason)
        or not both_onnx
        or isinstance(candidate.engine, FixedBatchEngine)
    ):
        return verdict
    from export.first_difference import first_difference  # needs onnx, which terminals lack

    parting = first_difference(reference.path, candidate.path, to_input(chips[:_SEARCH_CHIPS]))
    return (
        verdict.model_copy(update={"reason": f"{verdict.reason}; {parting}"})
        if parting
        else verdict
    )
