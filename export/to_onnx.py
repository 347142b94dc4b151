"""From a checkpoint to the one ONNX file that terminals run; `mfsa-export`."""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from calibration.faces import pick_faces
from edge.bundle import whole_form
from edge.chip import PREPROCESSING, SIZE, to_input
from edge.cli import common
from edge.engine import open_engine
from edge.errors import ConfigError, EngineError
from edge.face.embed import OUTPUTS
from edge.values import Precision
from export import commands
from export.forms import has_prelu, split_prelu, to_half, with_batch
from export.parity import BOUNDS, compare, portrait_chips, run_chips
from export.version import code_version
from train.loop import BEST
from train.network import MfsaNetwork, count_parameters
from train.torch_engine import Deployed, TorchEngine
from train.weights import load_checkpoint, load_network, save_weights

OPSET = 17
IR_VERSION = 8  # what TensorRT 8 reads


def export(network: MfsaNetwork, path: Path, *, batch: int | None = None) -> bool:
    """Write the ONNX file: opset 17, outputs embedding, attention and mask_worn, a batch of any size or of exactly `batch`.

    ONNX Runtime computes PReLU slowly on a CPU, so the file has it in parts, and a second one beside it, `whole_form`,
    has it whole for TensorRT; returns whether there is one.
    """
    deployed = Deployed(_folded(network)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            deployed,
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(path),
            input_names=["chip"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in ("chip", *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    model.ir_version = IR_VERSION
    model.producer_name = "mfsa-export"
    properties = {
        "preprocessing": PREPROCESSING,
        "code_version": code_version(),
        "network": f"{network.config.encoder} {network.config.variant}",
        "parameters": str(count_parameters(network)),
    }
    onnx.helper.set_model_props(model, properties)
    if batch is not None:
        model = with_batch(model, batch)
    onnx.checker.check_model(model, full_check=True)
    split = has_prelu(model)
    if split:
        onnx.save(model, whole_form(path))
    onnx.save(split_prelu(model) if split else model, path)
    return split


def _check_finished(checkpoint: Path) -> None:
    """Raises ConfigError for a run that has not come to its recipe's end; the best of a run may well lie before it."""
    if checkpoint.name == BEST:
        return
    state = load_checkpoint(checkpoint)
    recipe = json.loads(state["recipe"])
    planned = recipe.get("stop_at") or recipe["chips"]
    if state["seen"] < planned:
        raise ConfigError(
            f"{checkpoint}: has seen {state['seen']:,} of {planned:,} chips; let it end, or add --unfinished"
        )


def _folded(network: MfsaNetwork) -> MfsaNetwork:
    """A copy whose last norm is part of the last linear layer; the exporter does this for convolutions by itself."""
    folded = copy.deepcopy(network).eval()
    *body, linear, norm = folded.tail
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    folded.tail = nn.Sequential(*body, fuse_linear_bn_eval(linear, norm))
    return folded


def real_chips(sources: list[Path], most: int) -> NDArray[np.uint8]:
    """Portrait chips with and without drawn masks, and up to `most` chips of each source spread over it. Raises ConfigError."""
    return np.concatenate([portrait_chips(), *(pick_faces(source, most) for source in sources)])


def main(argv: list[str] | None = None) -> int:
    args = commands.export_parser().parse_args(argv)
    return common.run("mfsa-export", lambda: _export(args))


def _export(args: argparse.Namespace) -> int:
    network = load_network(args.checkpoint)
    if args.checkpoint.suffix != ".safetensors" and not args.unfinished:
        _check_finished(args.checkpoint)
    common.check_out(args.out, args.weights, args.half)
    for name, value in (("--batch", args.batch), ("--most", args.most)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}: expected at least 1, found {value}")
    with tempfile.TemporaryDirectory(dir=args.out.absolute().parent, prefix=".export-") as scratch:
        fresh = Path(scratch) / args.out.name
        written: list[tuple[Path, Path, Precision]] = [(fresh, args.out, "fp32")]
        if export(network, fresh, batch=args.batch):
            written.append((whole_form(fresh), whole_form(args.out), "fp32"))
        if args.half:
            half = Path(scratch) / "half.onnx"
            onnx.save(to_half(onnx.load(written[-1][0])), half)
            written.append((half, args.half, "fp16"))
        _compare(network, written, real_chips(args.chips, args.most), args.batch)
        whole_form(args.out).unlink(missing_ok=True)  # of an earlier network
        for made, out, _ in written:
            shutil.move(made, out)
    if args.weights:
        save_weights(network, args.weights)
    return common.DONE


def _compare(
    network: MfsaNetwork,
    written: list[tuple[Path, Path, Precision]],
    chips: NDArray[np.uint8],
    batch: int | None,
) -> None:
    """Raises EngineError where a file says something else than the checkpoint; then none of them is kept."""
    if batch is not None:  # whole batches only, each chip at least once
        chips = chips[np.arange(-(-len(chips) // batch) * batch) % len(chips)]
    expected = run_chips(TorchEngine(network), to_input(chips))
    for made, out, precision in written:
        parity = compare(
            run_chips(open_engine(made, threads=2), to_input(chips), (batch or 16,)), expected
        )
        print(f"{out}: {made.stat().st_size / 1e6:.2f} MB, {parity}")
        if not parity.within(BOUNDS[precision]):
            raise EngineError(
                f"{out} differs from the checkpoint: {parity.against(BOUNDS[precision])}; nothing was written"
            )


if __name__ == "__main__":
    sys.exit(main())
