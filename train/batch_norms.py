"""Batch norms for layers whose norms were folded away, as published encoders have them.

Without norms a network needs small learning rates. A norm is put behind each convolution and linear
layer, and `fit_batch_norms` sets its statistics so that the network computes what it did before.
Exporters fold it again. S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, fx, nn

_LAYERS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class NormedLayer(nn.Module):
    """Convolution or linear layer (N,C) without a bias, and the norm behind it."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        kind = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
        self.norm = kind(len(layer.weight))
        if layer.bias is not None:
            with torch.no_grad():
                self.norm.bias.copy_(layer.bias)
            layer.bias = None
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.layer(x))
        return normed

    @torch.no_grad()
    def fit(self, outputs: list[Tensor]) -> None:
        """Set the statistics from outputs of the layer (N,C,...); what the module computes stays.

        The module must compute what its layer did: a norm that was not trained or fitted before.
        """
        values = torch.cat([out.transpose(0, 1).flatten(1) for out in outputs], dim=1)
        variance, mean = torch.var_mean(values.double(), dim=1, correction=0)
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.add_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())


def add_batch_norms(part: fx.GraphModule) -> None:
    """Put a norm behind each convolution and linear layer that has none."""
    layers: dict[str, nn.Module] = dict(part.named_modules())
    for node in part.graph.nodes:
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        followed = [layers.get(str(user.target)) for user in node.users]
        if isinstance(layer, _LAYERS) and not any(isinstance(user, _NORMS) for user in followed):
            part.set_submodule(str(node.target), NormedLayer(layer))


def fit_batch_norms(module: nn.Module, run: Callable[[], object]) -> None:
    """Set the statistics of the norms of `add_batch_norms` from the data that `run` passes."""
    found: dict[NormedLayer, list[Tensor]] = {
        layer: [] for layer in module.modules() if isinstance(layer, NormedLayer)
    }

    def keep(outputs: list[Tensor], _layer: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output.detach())

    hooks = [
        normed.layer.register_forward_hook(partial(keep, outputs))
        for normed, outputs in found.items()
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    for normed, outputs in found.items():
        normed.fit(outputs)
