"""Export a network to ONNX."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from calibration.faces import pick_faces
from edge.bundle import prelu_file
from edge.chip import PREPROCESSING, SIZE
from edge.face.embed import OUTPUTS
from export.onnx_transforms import decompose_prelu, has_prelu, with_batch
from export.parity_data import portrait_chips
from export.version import code_version
from train.network import MfsaNetwork, count_parameters
from train.torch_engine import DeployedNetwork

OPSET = 17
IR_VERSION = 8  # what TensorRT 8 reads


def export(network: MfsaNetwork, path: Path, *, batch: int | None = None) -> bool:
    """Write an ONNX file, opset 17, with the outputs embedding, attention and mask_worn.

    The batch size is dynamic, or `batch`. ONNX Runtime computes PReLU slowly on a CPU, so this file
    has it decomposed, and a second file, `prelu_file`, keeps it for TensorRT. Return True if there
    is a second file.
    """
    deployed = DeployedNetwork(_folded(network)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
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
        onnx.save(model, prelu_file(path))
    onnx.save(decompose_prelu(model) if split else model, path)
    return split


def _folded(network: MfsaNetwork) -> MfsaNetwork:
    """Return a copy with the last norm folded into the last linear layer.

    The exporter folds the norms of convolutions only.
    """
    folded = copy.deepcopy(network).eval()
    *body, linear, norm = folded.tail
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    folded.tail = nn.Sequential(*body, fuse_linear_bn_eval(linear, norm))
    return folded


def comparison_chips(sources: list[Path], max_chips: int) -> NDArray[np.uint8]:
    """Return portrait chips and up to `max_chips` chips of each source; raises ConfigError."""
    return np.concatenate(
        [portrait_chips(), *(pick_faces(source, max_chips) for source in sources)]
    )
