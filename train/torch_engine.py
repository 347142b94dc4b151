"""Torch network behind the Engine protocol, so that evaluations run on all forms of a model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.face.embed import OUTPUTS
from train.routed import Network


class DeployedNetwork(nn.Module):
    """Network with the outputs that a terminal reads, in the order of `OUTPUTS`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, chip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = self.network(chip)
        return out.embedding, out.attention, out.mask_logit.sigmoid(), out.similarity


class TorchEngine:
    """Implements `edge.engine.Engine` for a torch network."""

    def __init__(self, network: Network) -> None:
        self._network = DeployedNetwork(network).eval()

    @torch.no_grad()
    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        outputs = self._network(torch.from_numpy(batch))
        return {name: value.numpy() for name, value in zip(OUTPUTS, outputs, strict=True)}

    def close(self) -> None: ...
