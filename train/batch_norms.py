"""Batch norms for layers whose norms were folded away, as published encoders have them.

Without norms a network needs small learning rates. A norm is put behind each convolution and linear
layer, and `fit_batch_norms` sets its statistics so that the network computes what it did before.
The export folds it again. S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

_LAYERS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Moments:
    """Running mean and variance of each channel in float64, over any number of batches.

    T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances", 1979.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._deviation = torch.zeros((), dtype=torch.float64)  # sum of squares

    @property
    def variance(self) -> Tensor:
        return self._deviation / self.count

    def add(self, batch: Tensor) -> None:
        """Add a batch of values (N,C,...)."""
        values = batch.detach().transpose(0, 1).flatten(1).double()
        variance, mean = torch.var_mean(values, dim=1, correction=0)
        count = values.shape[1]
        total = self.count + count
        shift = mean - self.mean
        self.mean = self.mean + shift * (count / total)
        self._deviation = (
            self._deviation + variance * count + shift.square() * (self.count * count / total)
        )
        self.count = total


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
    def fit(self, moments: Moments) -> None:
        """Set the statistics of the layer's outputs; what the module computes stays.

        The module must compute what its layer did: a norm that was not trained or fitted before.
        """
        norm, variance = self.norm, moments.variance
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(moments.mean)
        norm.running_var.copy_(variance)
        norm.bias.add_(moments.mean)
        norm.weight.copy_((variance + norm.eps).sqrt())


def add_batch_norms(part: fx.GraphModule, sample: Tensor) -> None:
    """Put a norm behind each convolution, and each linear layer on (N,C), that has none.

    `sample` is one input of the part, from which the sizes are measured.
    """
    with torch.no_grad():
        ShapeProp(part).propagate(sample)
    layers: dict[str, nn.Module] = dict(part.named_modules())
    for node in part.graph.nodes:
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(layer, _LAYERS) or _is_on_maps(layer, node):
            continue
        followed = [layers.get(str(user.target)) for user in node.users]
        if not any(isinstance(user, _NORMS) for user in followed):
            part.set_submodule(str(node.target), NormedLayer(layer))


def _is_on_maps(layer: nn.Module, node: fx.Node) -> bool:
    """Return True for a linear layer on more than two dimensions, such as (N,H,W,C)."""
    return isinstance(layer, nn.Linear) and len(node.meta["tensor_meta"].shape) > 2


def fit_batch_norms(module: nn.Module, run: Callable[[], object]) -> None:
    """Set the statistics of the norms of `add_batch_norms` from the data that `run` passes."""
    found = {layer: Moments() for layer in module.modules() if isinstance(layer, NormedLayer)}

    def add(moments: Moments, _layer: nn.Module, _inputs: object, output: Tensor) -> None:
        moments.add(output)

    hooks = [
        normed.layer.register_forward_hook(partial(add, moments))
        for normed, moments in found.items()
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    for normed, moments in found.items():
        normed.fit(moments)
