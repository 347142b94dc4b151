"""`mfsa-parity`: checkpoint, ONNX, INT8 ONNX and engine on the same chips, with a verdict for each."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.exams import pair_sets, pairs
from calibration.faces import pick_faces
from edge.bundle import EMBEDDER, MANIFEST, Verdict, file_digest, open_bundle
from edge.chip import PREPROCESSING, to_input
from edge.cli import common
from edge.engine import Engine, open_engine
from edge.engine.cuda import find_device
from edge.engine.sidecar import read_sidecar
from edge.engine.trt import TrtEngine, import_pycuda, import_tensorrt, read_plan
from edge.errors import ConfigError, EngineError
from edge.values import Precision
from export import commands
from export.parity import (
    Outputs,
    Proof,
    accuracy_lost,
    embedder_verdict,
    is_explained,
    portrait_chips,
    run_chips,
)

_TOLD = ("accuracy", "tar_at_fmr_0.01", "tar_at_fmr_0.001")
_LOOKED_INTO = 4  # chips on which the first different layer is sought


@dataclass(frozen=True, eq=False)
class Form:
    """One file of the embedder and how it is run."""

    path: Path
    engine: Engine
    precision: Precision


class FixedBatch:
    """An engine that takes batches of one size only, filled up to it."""

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


def open_form(path: Path) -> Form:
    """A checkpoint, ONNX file or plan; raises ConfigError or EngineError."""
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
        return Form(path, TorchEngine(load_network(path)), "fp32")
    if path.suffix == ".plan":
        find_device()  # before TensorRT is touched
        sidecar = read_sidecar(path)
        engine = TrtEngine(
            path, read_plan(path), import_tensorrt(), import_pycuda(), dla_core=sidecar.dla_core
        )
        return Form(path, engine, sidecar.precision)
    network = open_engine(path, threads=2)
    precision, batch = _of_onnx(path)
    return Form(path, network if batch is None else FixedBatch(network, batch), precision)


def _of_onnx(path: Path) -> tuple[Precision, int | None]:
    """Precision and fixed batch, as an ONNX file's own nodes and weights say."""
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
class Reference:
    """The FP32 network: its file, the chips to compare on and what it says of them."""

    path: Path
    proof: Proof

    @classmethod
    def of(cls, path: Path, site: Path | None, most: int) -> Reference:
        """Of a bundle, whose own chips and outputs need no engine; or of one file, with the portraits' chips."""
        if (path / MANIFEST).is_file():
            return cls(
                path / EMBEDDER,
                Proof.of(open_bundle(path, PREPROCESSING, complete=False), site, most),
            )
        chips = (
            portrait_chips()
            if site is None
            else np.concatenate([portrait_chips(), pick_faces(site, most)])
        )
        return cls(path, Proof(chips, run_chips(open_form(path).engine, to_input(chips))))


def compare_forms(reference: Reference, candidate: Form, precision: Precision) -> Verdict:
    """The gate's verdict; where two ONNX files differ, the reason names the first layer that does. Raises EngineError."""
    chips = reference.proof.chips
    verdict = embedder_verdict(
        candidate.engine, chips, reference.proof.expected, precision,
        judged=file_digest(candidate.path), reference=file_digest(reference.path),
    )  # fmt: skip
    both_onnx = {reference.path.suffix, candidate.path.suffix} == {".onnx"}
    if (
        verdict.passed
        or is_explained(verdict.reason)
        or not both_onnx
        or isinstance(candidate.engine, FixedBatch)
    ):
        return verdict
    from export.locate import first_difference  # needs onnx, which no terminal has

    parting = first_difference(reference.path, candidate.path, to_input(chips[:_LOOKED_INTO]))
    return (
        verdict.model_copy(update={"reason": f"{verdict.reason}; {parting}"})
        if parting
        else verdict
    )


def main(argv: list[str] | None = None) -> int:
    args = commands.parity_parser().parse_args(argv)
    return common.run("mfsa-parity", lambda: _parity(args))


def _parity(args: argparse.Namespace) -> int:
    if (args.pairs is None) != (args.pair_chips is None):
        raise ConfigError(
            "--pairs and --pair-chips belong together: a list, and the chips it names"
        )
    if args.most < 1:
        raise ConfigError(f"--most: expected at least 1, found {args.most}")
    common.check_out(args.json)
    reference = Reference.of(args.reference, args.chips, args.most)
    candidates = [open_form(path) for path in args.candidates]
    told: dict[str, Any] = {}
    refused = []
    for form in candidates:
        precision: Precision = args.precision or form.precision
        verdict = compare_forms(reference, form, precision)
        told[str(form.path)] = {"precision": precision, "verdict": verdict.model_dump()}
        print(
            f"{form.path} ({precision}): {'passed' if verdict.passed else 'REFUSED: ' + verdict.reason}"
        )
        print("   " + ", ".join(f"{name} {value:.6g}" for name, value in verdict.figures.items()))
        refused += [] if verdict.passed else [str(form.path)]
    if args.pairs:
        told["verification"], lost = _verification(args, open_form(reference.path), candidates)
        refused += lost
    if args.json:
        args.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if refused:
        names = list(dict.fromkeys(refused))
        raise EngineError(
            f"{len(names)} of {len(candidates)} differ from {args.reference}: {', '.join(names)}"
        )
    return common.DONE


def _verification(
    args: argparse.Namespace, reference: Form, candidates: list[Form]
) -> tuple[dict[str, Any], list[str]]:
    """Figures of the pairs, clean and one masked, for each form; and the forms that lose more than the bounds allow."""
    chosen = pair_sets.read_list(args.pairs, args.pair_chips)
    told: dict[str, Any] = {}
    lost = []
    print(f"\n{chosen.title}: 10-fold accuracy, TAR at FMR 1e-2 and 1e-3; less the reference's")
    for form in (reference, *candidates):
        figures = pairs.sit(form.engine, chosen, every_condition=False).figures()
        told[str(form.path)] = {
            "pairs": {chosen.title: {name: figures[name] for name in ("clean", "one_masked")}}
        }
        before = told[str(reference.path)]["pairs"][chosen.title]
        for name, row in told[str(form.path)]["pairs"][chosen.title].items():
            values = [f"{row[key]:.2%} ({row[key] - before[name][key]:+.2%})" for key in _TOLD]
            print(f"  {form.path.name:28} {name:11} {'  '.join(values)}")
        if words := accuracy_lost(told[str(reference.path)], told[str(form.path)]):
            print(f"  REFUSED: {words}")
            lost.append(str(form.path))
    return told, lost


if __name__ == "__main__":
    sys.exit(main())
