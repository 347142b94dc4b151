"""Tiny networks of each architecture, for tests of explanations."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from torch import nn

from edge.chip import SIZE, to_input
from edge.portraits import COLLINS, HOPPER, load_chip
from train.adapt import routed_config
from train.encoders.onnx_to_torch import read_encoder
from train.network import MfsaNetwork, NetworkConfig
from train.recipe import RoutedRecipe
from train.routed import EncoderOrigin, Network, RoutedNetwork

KINDS = ("mbf", "ir18", "routed")
DIMENSION = 16
_NORMS = nn.BatchNorm1d | nn.BatchNorm2d


def make_network(kind: str, variant: str = "mfsa") -> Network:
    """Return a network with random weights whose statistics fit faces."""
    torch.manual_seed(0)
    config = NetworkConfig(
        encoder="ir18" if kind == "ir18" else "mbf",
        variant=variant,
        embedding=DIMENSION,
        widths=(8, 8, 16, 16),
        blocks=(1, 1, 1, 1),
        activation="prelu",
    )
    network: Network = MfsaNetwork(config)
    _fit(network)
    if kind == "routed":
        encoder = nn.Sequential(network.stem, network.tail)
        content = to_onnx(encoder)
        section = RoutedRecipe(variant=variant, shared_blocks=-1)
        origin = EncoderOrigin("test", "0" * 64, "rgb-127.5", "none", "random")
        network = RoutedNetwork(content, routed_config(read_encoder(content), section, origin))
        with torch.no_grad():
            for parameter in network.branch.parameters():
                parameter.mul_(1.1)
    with torch.no_grad():
        if network.attention is not None:
            network.attention.maps.weight.normal_(std=2.0)
    return network.eval()


def to_onnx(encoder: nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
        torch.onnx.export(
            encoder.eval(), (torch.zeros(1, 3, SIZE, SIZE),), buffer, opset_version=17, dynamo=False
        )
    return buffer.getvalue()


def set_route(network: Network, masked: bool) -> None:
    """Make all faces count as masked, or none."""
    with torch.no_grad():
        network.heads.mask[-1].weight.zero_()
        network.heads.mask[-1].bias.fill_(1.0 if masked else -1.0)


def portraits() -> torch.Tensor:
    chips = np.stack([load_chip(COLLINS), load_chip(HOPPER)])
    return torch.from_numpy(to_input(chips))


def _fit(network: nn.Module) -> None:
    """Set the running statistics of all norms to those of faces."""
    for module in network.modules():
        if isinstance(module, _NORMS):
            module.momentum = 1.0
    faces = portraits().repeat(8, 1, 1, 1)
    with torch.no_grad():
        network.train()((faces + 0.3 * torch.randn_like(faces)).clamp(-1, 1))
