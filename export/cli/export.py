"""Command `mfsa-export`: export a checkpoint to ONNX."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from calibration.prelu import join_prelu
from edge.bundle import file_digest
from edge.chip import to_input
from edge.cli import common
from edge.engine import open_engine
from edge.errors import ConfigError, EngineError
from edge.values import Precision
from export.cli import parsers
from export.explanation import average_faces, export_explanation
from export.explanation_parity import check_explanation
from export.onnx_transforms import to_fp16
from export.parity import PARITY_BOUNDS, compare_outputs, run_chips
from export.parity_data import portrait_chips
from export.to_onnx import comparison_chips, export
from train.loop import BEST
from train.routed import Network
from train.torch_engine import TorchEngine
from train.weights import load_checkpoint, load_network, save_weights


def _check_finished(checkpoint: Path) -> None:
    """Raise ConfigError for an incomplete run; its best checkpoint may be of any time."""
    if checkpoint.name == BEST:
        return
    state = load_checkpoint(checkpoint)
    recipe = json.loads(state["recipe"])
    planned = recipe.get("stop_at") or recipe["chips"]
    if state["seen"] < planned:
        raise ConfigError(
            f"{checkpoint}: has seen {state['seen']:,} of {planned:,} chips; "
            "finish the run, or add --unfinished"
        )


def main(argv: list[str] | None = None) -> int:
    args = parsers.export_parser().parse_args(argv)
    return common.run("mfsa-export", lambda: _export(args))


def _export(args: argparse.Namespace) -> int:
    network = load_network(args.checkpoint)
    if args.checkpoint.suffix != ".safetensors" and not args.unfinished:
        _check_finished(args.checkpoint)
    common.check_output_files(args.out, args.weights, args.half, args.explanation)
    for name, value in (("--batch", args.batch), ("--max-chips", args.max_chips)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}: expected at least 1, found {value}")
    chips = comparison_chips(args.chips, args.max_chips)
    faces = average_faces(chips[len(portrait_chips()) :]) if args.explanation else chips
    with tempfile.TemporaryDirectory(dir=args.out.absolute().parent, prefix=".export-") as scratch:
        fresh = Path(scratch) / args.out.name
        written: list[tuple[Path, Path, Precision]] = [(fresh, args.out, "fp32")]
        export(network, fresh, batch=args.batch)
        if args.half:
            half = Path(scratch) / "half.onnx"
            onnx.save(to_fp16(join_prelu(onnx.load(fresh))), half)
            written.append((half, args.half, "fp16"))
        _compare(network, written, chips, args.batch)
        moved = [(made, out) for made, out, _ in written]
        if args.explanation:
            moved.append((Path(scratch) / "explanation.onnx", args.explanation))
            _write_explanation(network, *moved[-1], faces)
        for made, out in moved:
            shutil.move(made, out)
    if args.weights:
        save_weights(network, args.weights)
    return common.DONE


def _compare(
    network: Network,
    written: list[tuple[Path, Path, Precision]],
    chips: NDArray[np.uint8],
    batch: int | None,
) -> None:
    """Raise EngineError if the outputs of a file differ from the checkpoint."""
    if batch is not None:  # full batches only, each chip at least once
        chips = chips[np.arange(-(-len(chips) // batch) * batch) % len(chips)]
    expected = run_chips(TorchEngine(network), to_input(chips))
    for made, out, precision in written:
        parity = compare_outputs(
            run_chips(open_engine(made, threads=2), to_input(chips), (batch or 16,)), expected
        )
        print(f"{out}: {made.stat().st_size / 1e6:.2f} MB, {parity}")
        bounds = PARITY_BOUNDS[precision]
        if not parity.is_within(bounds):
            raise EngineError(
                f"{out} differs from the checkpoint: {parity.describe_violations(bounds)}; "
                "nothing was written"
            )


def _write_explanation(network: Network, made: Path, out: Path, faces: NDArray[np.uint8]) -> None:
    """Raise EngineError if the parts of the explanation do not add up to the embeddings."""
    export_explanation(network, made, faces)
    chips = portrait_chips()
    expected = run_chips(TorchEngine(network), to_input(chips))["embedding"]
    digest = file_digest(made)
    engine = open_engine(made, threads=2)
    verdict = check_explanation(engine, chips, expected, judged=digest, reference=digest)
    print(
        f"{out}: {made.stat().st_size / 1e6:.2f} MB, {verdict.samples} chips: "
        f"cosine of the sum of parts min {verdict.figures['min_cosine']:.6f}"
    )
    if not verdict.passed:
        raise EngineError(f"{out}: {verdict.reason}; nothing was written")


if __name__ == "__main__":
    sys.exit(main())
