"""Torch network behind the Engine protocol, so that evaluations run on all forms of a model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.face.embed import OUTPUTS
from train.network import MfsaNetwork


class DeployedNetwork(nn.Module):
    """Network with the outputs of terminals: raw embedding, maps, mask probability."""

    def __init__(self, network: MfsaNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, chip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.network(chip)
        return out.embedding, out.attention, out.mask_logit.sigmoid()


class TorchEngine:
    """Implements `edge.engine.Engine` for a torch network."""

    def __init__(self, network: MfsaNetwork) -> None:
        self._network = DeployedNetwork(network).eval()

    @torch.no_grad()
    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {
            name: value.numpy()
            for name, value in zip(OUTPUTS, self._network(torch.from_numpy(batch)), strict=True)
        }

    def close(self) -> None: ...
