"""Linear end of a network: layers behind which the embedding is a sum over the cells of a map."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from edge.errors import ConfigError
from edge.face.regions import CELLS
from train.encoders.cut import copy_nodes

_FEWEST_CELLS = 7  # per side: coarser cells mix the regions of a face
_LAYERS = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Flatten,
    nn.Identity,
    nn.Dropout,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
_FUNCTIONS: frozenset[Callable[..., object]] = frozenset(
    {torch.flatten, torch.reshape, torch.permute, torch.squeeze, torch.mean, F.pad}
)
# Linear if all operands but the first computed one are constants.
_WITH_CONSTANT: frozenset[Callable[..., object]] = frozenset(
    {torch.add, torch.sub, torch.mul, operator.add, operator.sub, operator.mul}
)
_DIVISIONS: frozenset[Callable[..., object]] = frozenset({torch.div, operator.truediv})


class _Tracer(fx.Tracer):
    """Tracer that does not look into linear layers, subclasses of torch's own included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LAYERS) or super().is_leaf_module(m, module_qualified_name)


class CellParts(nn.Module):
    """Parts (N,H*W,D) of the embedding (N,D) by cell of the feature map (N,C,H,W) in rows.

    The embedding is the sum of the parts plus `bias`. `size` is the height and width of the map.
    """

    bias: Tensor  # (D,), the embedding of a map of zeros
    scale: Tensor
    mix: Tensor
    weight: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Build from a weight (D,C,H,W) and a bias (D,), both float64."""
        super().__init__()
        self.size = int(weight.shape[2])
        by_cell = weight.flatten(2)
        factors = _factorise(by_cell)
        self.is_factorised = factors is not None
        self.register_buffer("bias", bias.float())
        if factors is not None:
            mix, scale = factors
            self.register_buffer("scale", scale.float())  # (C,H*W)
            self.register_buffer("mix", mix.T.contiguous().float())  # (C,D)
        else:
            self.register_buffer("weight", by_cell.permute(2, 1, 0).contiguous().float())

    def forward(self, features: Tensor) -> Tensor:
        cells = features.flatten(2)  # (N,C,H*W)
        if self.is_factorised:
            return (cells * self.scale).transpose(1, 2) @ self.mix
        return (cells.permute(2, 0, 1) @ self.weight).transpose(0, 1)


def split_linear_end(network: nn.Module, sample: Tensor) -> tuple[nn.Module, CellParts]:
    """Split a network from features to an embedding (N,D) before its linear end.

    Return the layers up to the last map, and the composed layers after it. `sample` is one input
    (1,C,H,W). Raises ConfigError if the embedding is not a linear function of a map.
    """
    root = copy.deepcopy(network).eval()
    traced = fx.GraphModule(root, _Tracer().trace(root))
    with torch.no_grad():
        ShapeProp(traced).propagate(sample)
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    last = output.args[0]
    while (source := _linear_source(last, traced)) is not None:
        last = source
    shape = last.meta["tensor_meta"].shape
    _check_map(last, shape)
    body = copy_nodes(traced, None, last)
    end = copy_nodes(traced, last, output.args[0])
    return body, _compose(end, shape[1:])


def _linear_source(node: fx.Node, module: fx.GraphModule) -> fx.Node | None:
    """Return the computed operand of a linear node, None if the node is not linear."""
    computed = [each for each in node.all_input_nodes if each.op != "get_attr"]
    if len(computed) != 1:
        return None
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        return computed[0] if isinstance(layer, _LAYERS) else None
    if node.op != "call_function":
        return None
    is_numerator = node.target in _DIVISIONS and node.args[0] is computed[0]
    is_linear = node.target in _FUNCTIONS or node.target in _WITH_CONSTANT or is_numerator
    # A product of a value with itself has one operand node, twice.
    return computed[0] if is_linear and node.args.count(computed[0]) == 1 else None


def _check_map(node: fx.Node, shape: torch.Size) -> None:
    is_map = len(shape) == 4 and shape[2] == shape[3]
    if not is_map or shape[2] < _FEWEST_CELLS or CELLS % shape[2]:
        raise ConfigError(
            "the network has no linear end: the last layer that is not linear is "
            f"{node.target} with an output of shape {tuple(shape[1:])}, expected a map of 7x7 or "
            "14x14 cells; its score cannot be split by cells, leave out --explanation"
        )


def _compose(end: nn.Module, shape: torch.Size) -> CellParts:
    """Compose linear layers from a map (C,H,W) to an embedding (D,) into one weight and bias."""
    exact = copy.deepcopy(end).double()
    with torch.no_grad():
        bias = exact(torch.zeros(1, *shape, dtype=torch.float64))[0]
    with torch.enable_grad():
        # Row d of the batch has the gradient of element d: one pass gives all rows.
        rows = torch.zeros(len(bias), *shape, dtype=torch.float64, requires_grad=True)
        (weight,) = torch.autograd.grad(exact(rows).diagonal().sum(), rows)
    return CellParts(weight, bias)


def _factorise(weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return factors (D,C) and (C,P) of a weight (D,C,P), None if a channel has several.

    A depthwise convolution before the linear layers gives each channel one pattern of cells.
    """
    largest = weight.norm(dim=0).argmax(dim=1)  # cell by channel
    mix = weight[:, torch.arange(weight.shape[1]), largest]
    power = mix.square().sum(dim=0).clamp_min(torch.finfo(weight.dtype).tiny)
    scale = torch.einsum("dcp,dc->cp", weight, mix) / power[:, None]
    error = (weight - mix[:, :, None] * scale).abs().max()
    return (mix, scale) if float(error) <= 1e-9 * float(weight.abs().max()) else None
