"""Batch norms that are put behind layers, and their statistics."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, fx, nn

from train.batch_norms import NormedLayer, add_batch_norms, fit_batch_norms

MAPS = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def small_network() -> fx.GraphModule:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4))
    return fx.symbolic_trace(layers).eval()


def normed_layers(network: nn.Module) -> list[NormedLayer]:
    return [module for module in network.modules() if isinstance(module, NormedLayer)]


@torch.no_grad()
def test_norms_are_fitted_over_parts() -> None:
    network = small_network()
    maps = MAPS + 1000  # a sum of squares in float32 would lose the variance
    expected = network(maps)
    add_batch_norms(network, maps[:1])
    network.eval()
    conv, linear = normed_layers(network)
    alive: list[weakref.ref[Tensor]] = []
    conv.layer.register_forward_hook(lambda _m, _x, out: alive.append(weakref.ref(out)))

    def run() -> None:
        for part in (maps[:5], maps[5:]):
            network(part)
            assert all(ref() is None for ref in alive)

    fit_batch_norms(network, run)
    assert len(alive) == 2
    outputs = conv.layer(maps).double()
    variance, mean = torch.var_mean(outputs, dim=(0, 2, 3), correction=0)
    assert torch.allclose(conv.norm.running_mean.double(), mean, rtol=1e-6)
    assert torch.allclose(conv.norm.running_var.double(), variance, rtol=1e-3)
    assert linear.norm.running_var.min() > 0
    assert torch.allclose(network(maps), expected, rtol=1e-3, atol=1e-2)


class _ChannelsLast(nn.Module):
    """Linear layers on maps (N,H,W,C), as in ConvNeXt, and on vectors (N,C)."""

    def __init__(self) -> None:
        super().__init__()
        self.on_maps, self.on_vectors = nn.Linear(3, 6), nn.Linear(216, 4)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.on_maps(torch.permute(x, (0, 2, 3, 1)))
        return self.on_vectors(torch.flatten(cells, 1))


@torch.no_grad()
def test_linear_layer_on_maps_has_no_norm() -> None:
    torch.manual_seed(0)
    network = fx.symbolic_trace(_ChannelsLast()).eval()
    expected = network(MAPS)
    add_batch_norms(network, MAPS[:1])
    network.eval()
    assert isinstance(network.get_submodule("on_maps"), nn.Linear)
    assert isinstance(network.get_submodule("on_vectors"), NormedLayer)
    fit_batch_norms(network, lambda: network(MAPS))
    assert torch.allclose(network(MAPS), expected, atol=1e-5)
    network.train()(MAPS)
