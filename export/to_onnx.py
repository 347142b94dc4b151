"""Export a network to ONNX."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from calibration.faces import pick_faces
from calibration.prelu import split_prelu
from edge.chip import PREPROCESSING
from edge.face.embed import OUTPUTS
from export.onnx_transforms import with_batch
from export.parity_data import portrait_chips
from export.version import code_version
from train.batch_norms import NormedLayer
from train.network import count_parameters
from train.onnx_export import trace_to_onnx
from train.routed import Network, RoutedNetwork
from train.torch_engine import DeployedNetwork


def export(network: Network, path: Path, *, batch: int | None = None) -> None:
    """Write an ONNX file, opset 17, with the outputs `edge.face.embed.OUTPUTS`.

    The batch size is dynamic, or `batch`. PReLU is in parts, see `calibration.prelu`.
    """
    deployed = DeployedNetwork(_folded(network)).eval()
    model = trace_to_onnx(deployed, path, OUTPUTS, dynamic_batch=True)
    model.producer_name = "mfsa-export"
    properties = {
        "preprocessing": PREPROCESSING,
        "code_version": code_version(),
        "parameters": str(count_parameters(network)),
        **_describe(network),
    }
    onnx.helper.set_model_props(model, properties)
    if batch is not None:
        model = with_batch(model, batch)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(split_prelu(model), path)


def _folded(network: Network) -> Network:
    """Return a copy with the norms behind linear layers folded into them.

    The exporter folds the norms of convolutions only. The encoder of a routed network stays as it
    is: it answers as its own file does.
    """
    folded = copy.deepcopy(network).eval()
    if isinstance(folded, RoutedNetwork):
        for name, part in list(folded.branch.named_modules()):
            if isinstance(part, NormedLayer) and isinstance(part.layer, nn.Linear):
                folded.branch.set_submodule(name, fuse_linear_bn_eval(part.layer, part.norm))
        return folded
    *body, linear, norm = folded.tail
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    folded.tail = nn.Sequential(*body, fuse_linear_bn_eval(linear, norm))
    return folded


def _describe(network: Network) -> dict[str, str]:
    if not isinstance(network, RoutedNetwork):
        return {"network": f"{network.config.encoder} {network.config.variant}"}
    encoder = network.config.encoder
    return {
        "network": f"{encoder.kind} with {network.config.variant}",
        "encoder_sha256": encoder.sha256,
        "encoder_licence": encoder.licence,
        "encoder_origin": encoder.origin,
    }


def comparison_chips(sources: list[Path], max_chips: int) -> NDArray[np.uint8]:
    """Return portrait chips and up to `max_chips` chips of each source; raises ConfigError."""
    return np.concatenate(
        [portrait_chips(), *(pick_faces(source, max_chips) for source in sources)]
    )
