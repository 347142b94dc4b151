"""Small MFSA network of tests that do not depend on the scores of a trained one; needs torch."""

from __future__ import annotations

import torch

from edge.chip import to_input
from export.parity_data import portrait_chips
from train.network import MfsaNetwork, NetworkConfig

SMALL = NetworkConfig(embedding=32, widths=(8, 8, 16, 16), blocks=(0, 1, 1, 1))


def make_network() -> MfsaNetwork:
    """Return an untrained network with the running statistics of real chips: it separates them."""
    torch.manual_seed(0)
    network = MfsaNetwork(SMALL).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(to_input(portrait_chips())))
        network.attention.maps.weight.normal_()
    return network.eval()
