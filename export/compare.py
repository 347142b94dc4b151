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
from edge.bundle import EMBEDDER, MANIFEST, Verdict, file_digest
from edge.chip import to_input
from edge.cli import common
from edge.engine import Engine, open_engine
from edge.engine.cuda import find_device
from edge.engine.sidecar import read_sidecar
from edge.engine.trt import TrtEngine, import_pycuda, import_tensorrt
from edge.errors import ConfigError, EngineError
from edge.values import Precision
from export.build_engine import site_chips
from export.locate import first_difference
from export.parity import embedder_verdict, is_explained, portrait_chips, run_chips

_MOST = 500
_LOOKED_INTO = 4  # chips on which the first different layer is sought


@dataclass(frozen=True, eq=False)
class Form:
    """One file of the embedder and how it is run."""

    path: Path
    engine: Engine
    precision: Precision


def open_form(path: Path) -> Form:
    """A checkpoint, ONNX file or plan; raises ConfigError or EngineError."""
    if path.suffix in (".pt", ".safetensors"):
        from train.torch_engine import TorchEngine
        from train.weights import load_network

        return Form(path, TorchEngine(load_network(path)), "fp32")
    if not path.is_file():
        raise ConfigError(f"{path}: expected a checkpoint, an ONNX file or a plan, found none")
    if path.suffix == ".plan":
        find_device()  # before TensorRT is touched
        return Form(path, TrtEngine(path, import_tensorrt(), import_pycuda()), read_sidecar(path).precision)
    return Form(path, open_engine(path, kind="ort", threads=2), _precision_of(path))


def _precision_of(path: Path) -> Precision:
    """What an ONNX file's own nodes and weights say."""
    import onnx

    graph = onnx.load(path).graph
    if any(node.op_type == "QuantizeLinear" for node in graph.node):
        return "int8"
    half = onnx.TensorProto.FLOAT16
    return "fp16" if any(tensor.data_type == half for tensor in graph.initializer) else "fp32"


def compare_forms(reference: Form, candidate: Form, chips: NDArray[np.uint8], precision: Precision) -> Verdict:
    """The gate's verdict; where two ONNX files differ, the reason names the first layer that does. Raises EngineError."""
    expected = run_chips(reference.engine, to_input(chips))
    verdict = embedder_verdict(
        candidate.engine, chips, expected, precision,
        judged=file_digest(candidate.path), reference=file_digest(reference.path),
    )  # fmt: skip
    if verdict.passed or is_explained(verdict.reason) or {reference.path.suffix, candidate.path.suffix} != {".onnx"}:
        return verdict
    parting = first_difference(reference.path, candidate.path, to_input(chips[:_LOOKED_INTO]))
    return verdict.model_copy(update={"reason": f"{verdict.reason}; {parting}"}) if parting else verdict


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "mfsa-parity",
        "Compare forms of one embedder (checkpoint, ONNX, INT8 ONNX, TensorRT plan) with a reference on the same chips: portraits "
        "plain, masked, dark, blurred and in false colours, and your own. Exit code 1 where one is out of its bounds.",
        "mfsa-parity embedder.onnx embedder-int8.onnx --chips faces.tar",
    )
    parser.add_argument("reference", type=Path, help="FP32 ONNX file, checkpoint, or bundle folder")
    parser.add_argument("candidates", type=Path, nargs="+", metavar="FILE", help="other forms of it")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), help="whose bounds hold; default: the file's own")
    parser.add_argument("--chips", type=Path, help="more chips: a .tar file or folder of <person>/<image>")
    parser.add_argument("--most", type=int, default=_MOST, help="of these (default %(default)s)")
    parser.add_argument("--pairs", type=Path, help="list in LFW's format: verification before and after, with --pair-chips")
    parser.add_argument("--pair-chips", type=Path, help=".tar file or folder of the list's aligned chips")
    parser.add_argument("--json", type=Path, help="write verdicts and figures there")
    args = parser.parse_args(argv)
    return common.run("mfsa-parity", lambda: _parity(args))


def _parity(args: argparse.Namespace) -> int:
    if (args.pairs is None) != (args.pair_chips is None):
        raise ConfigError("--pairs and --pair-chips belong together: a list, and the chips it names")
    if args.most < 1:
        raise ConfigError(f"--most: expected at least 1, found {args.most}")
    reference = open_form(args.reference / EMBEDDER if (args.reference / MANIFEST).is_file() else args.reference)
    candidates = [open_form(path) for path in args.candidates]
    chips = portrait_chips()
    if args.chips:
        chips = np.concatenate([chips, site_chips(args.chips, args.most)])
    told: dict[str, Any] = {}
    for form in candidates:
        precision: Precision = args.precision or form.precision
        verdict = compare_forms(reference, form, chips, precision)
        told[str(form.path)] = {"precision": precision, "verdict": verdict.model_dump()}
        print(f"{form.path} ({precision}): {'passed' if verdict.passed else 'REFUSED: ' + verdict.reason}")
        print("   " + ", ".join(f"{name} {value:.6g}" for name, value in verdict.figures.items()))
    if args.pairs:
        told["verification"] = _verification(args, [reference, *candidates])
    if args.json:
        args.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    refused = [path for path, row in told.items() if path != "verification" and not row["verdict"]["passed"]]
    if refused:
        raise EngineError(f"{len(refused)} of {len(candidates)} differ from {args.reference}: {', '.join(refused)}")
    return common.DONE


def _verification(args: argparse.Namespace, forms: list[Form]) -> dict[str, Any]:
    """Figures of the pairs, clean and one masked, for each form; the first is the reference."""
    chosen = pair_sets.read_list(args.pairs, args.pair_chips)
    told: dict[str, Any] = {}
    print(f"\n{chosen.title}: 10-fold accuracy, TAR at FMR 1e-2 and 1e-3; less the reference's")
    for form in forms:
        figures = pairs.sit(form.engine, chosen, every_condition=False).figures()
        told[str(form.path)] = {name: figures[name] for name in ("clean", "one_masked")}
        for name, row in told[str(form.path)].items():
            before = told[str(forms[0].path)][name]
            values = [
                f"{row[key]:.2%} ({row[key] - before[key]:+.2%})" for key in ("accuracy", "tar_at_fmr_0.01", "tar_at_fmr_0.001")
            ]
            print(f"  {form.path.name:28} {name:11} {'  '.join(values)}")
    return told


if __name__ == "__main__":
    sys.exit(main())
