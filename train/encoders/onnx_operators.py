"""ONNX operators as torch layers and functions."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from train.backbones import Convolution
from train.encoders.graph_reader import Array, Attributes, GraphReader

Read = Callable[[GraphReader, onnx.NodeProto, Attributes], fx.Node | list[fx.Node]]


class _Pad(nn.Module):
    """Padding of all dimensions but the batch with one value, or of the sides by a mode."""

    def __init__(
        self, before: Sequence[int], after: Sequence[int], mode: str, value: float
    ) -> None:
        super().__init__()
        pairs = list(zip(before, after, strict=True))
        while len(pairs) > 1 and pairs[0] == (0, 0):
            pairs.pop(0)
        self.pads = [n for pair in reversed(pairs) for n in pair]
        self.mode, self.value = mode, value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pads, self.mode, self.value if self.mode == "constant" else None)


class _CoveredAverage(nn.Module):
    """Average pooling with sides that differ; padding is not part of the average."""

    def __init__(self, pad: nn.Module, pool: nn.AvgPool2d, size: tuple[int, int]) -> None:
        super().__init__()
        self.pad, self.pool = pad, pool
        self.share: Tensor
        self.register_buffer("share", pool(pad(torch.ones(1, 1, *size))))

    def forward(self, x: Tensor) -> Tensor:
        averages: Tensor = self.pool(self.pad(x))
        return averages / self.share


def _pads(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> list[int]:
    """Return the padding of a convolution or pool: top, left, bottom, right."""
    auto = given.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", "VALID"):
        return list(given.get("pads", [0, 0, 0, 0])) if auto == "NOTSET" else [0, 0, 0, 0]
    kernel = given.get("kernel_shape") or reader.array(node.input[1]).shape[2:]
    steps = given.get("strides", (1, 1))
    sides = []
    for size, window, stride in zip(reader.sizes(node.input[0])[1:], kernel, steps, strict=True):
        added = max((math.ceil(size / stride) - 1) * stride + window - size, 0)
        smaller = added // 2
        both = (smaller, added - smaller)
        sides.append(both if auto == "SAME_UPPER" else both[::-1])
    (top, bottom), (left, right) = sides
    return [top, left, bottom, right]


def _conv(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    weight = reader.array(node.input[1])
    source = reader.operand(node.input[0])
    if weight.ndim != 4:
        raise reader.unknown_form(node)
    pads = _pads(reader, node, given)
    if pads[:2] != pads[2:]:
        source, pads = reader.layer(_Pad(pads[:2], pads[2:], "constant", 0.0), source), [0] * 4
    groups = int(given.get("group", 1))
    layer = Convolution(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        tuple(given.get("strides", (1, 1))),
        (pads[0], pads[1]),
        tuple(given.get("dilations", (1, 1))),
        groups,
        bias=len(node.input) > 2 and node.input[2] != "",
    )
    _load(layer.weight, weight)
    if layer.bias is not None:
        _load(layer.bias, reader.array(node.input[2]))
    return reader.layer(layer, source)


def _norm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scale, shift, mean, variance = (reader.array(name) for name in node.input[1:5])
    is_flat = reader.rank(node.input[0]) == 2
    layer = (nn.BatchNorm1d if is_flat else nn.BatchNorm2d)(
        len(scale), eps=float(given.get("epsilon", 1e-5))
    )
    _load(layer.weight, scale)
    _load(layer.bias, shift)
    assert layer.running_mean is not None and layer.running_var is not None
    _load(layer.running_mean, mean)
    _load(layer.running_var, variance)
    return reader.layer(layer, reader.operand(node.input[0]))


def _layer_norm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scale = reader.array(node.input[1])
    layer = nn.LayerNorm(scale.shape, eps=float(given.get("epsilon", 1e-5)))
    _load(layer.weight, scale)
    shift = reader.array(node.input[2]) if len(node.input) > 2 else np.zeros_like(scale)
    _load(layer.bias, shift)
    return reader.layer(layer, reader.operand(node.input[0]))


def _instance_norm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scale, shift = (reader.array(name) for name in node.input[1:3])
    layer = nn.InstanceNorm2d(len(scale), eps=float(given.get("epsilon", 1e-5)), affine=True)
    _load(layer.weight, scale)
    _load(layer.bias, shift)
    return reader.layer(layer, reader.operand(node.input[0]))


def _prelu(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    slope = reader.array(node.input[1]).reshape(-1)
    layer = nn.PReLU(len(slope))
    _load(layer.weight, slope)
    return reader.layer(layer, reader.operand(node.input[0]))


def _gemm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    if given.get("transA", 0):
        raise reader.unknown_form(node)
    weight = reader.array(node.input[1]) * float(given.get("alpha", 1.0))
    weight = weight if given.get("transB", 0) else weight.T
    bias = reader.array(node.input[2]) if len(node.input) > 2 else None
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1) * float(given.get("beta", 1.0)), (weight.shape[0],))
    return reader.layer(_linear(weight, bias), reader.operand(node.input[0]))


def _matmul(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    if node.input[1] in reader.constants and reader.array(node.input[1]).ndim == 2:
        layer = _linear(reader.array(node.input[1]).T, None)
        return reader.layer(layer, reader.operand(node.input[0]))
    return reader.call(torch.matmul, *(reader.operand(name) for name in node.input))


def _linear(weight: Array, bias: Array | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _load(layer.weight, weight)
    if bias is not None:
        _load(layer.bias, bias)
    return layer


def _clip(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    bounds = [
        reader.array(name).item() if name else None for name in [*node.input[1:3], "", ""][:2]
    ]
    low, high = given.get("min", bounds[0]), given.get("max", bounds[1])
    return reader.call(torch.clamp, reader.operand(node.input[0]), min=low, max=high)


def _reshape(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    if reader.rank(node.output[0]) == 2 or node.input[1] not in reader.constants:
        return reader.call(torch.flatten, source, 1)
    shape = [int(n) for n in reader.array(node.input[1])][1:]
    if 0 in shape:
        # A zero keeps the size of the input at its place.
        before = reader.sizes(node.input[0])
        shape = [n or before[i] for i, n in enumerate(shape)]
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        rest = math.prod(reader.sizes(node.input[0])) // known
        shape = [rest if n == -1 else n for n in shape]
    # A batch that is fixed in the file becomes the batch of the input.
    return reader.call(torch.reshape, source, (-1, *shape))


def _flatten(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    return reader.call(torch.flatten, reader.operand(node.input[0]), int(given.get("axis", 1)))


def _transpose(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    order = tuple(int(n) for n in given["perm"])
    return reader.call(torch.permute, reader.operand(node.input[0]), order)


def _axes(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> tuple[int, ...]:
    if "axes" in given:
        return tuple(int(n) for n in given["axes"])
    return tuple(int(n) for n in reader.array(node.input[1]).reshape(-1))


def _reduce(function: Callable[..., Tensor]) -> Read:
    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.call(
            function,
            reader.operand(node.input[0]),
            dim=_axes(reader, node, given),
            keepdim=bool(given.get("keepdims", 1)),
        )

    return read


def sum_of_squares(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """Return the sum of squares over dimensions."""
    return torch.sum(x * x, dim, keepdim)


def _squeeze(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    if "axes" not in given and len(node.input) < 2:  # all sizes of one, but not the batch
        return reader.call(torch.flatten, source, 1)
    return reader.call(torch.squeeze, source, _axes(reader, node, given))


def _unsqueeze(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    for axis in sorted(_axes(reader, node, given)):
        source = reader.call(torch.unsqueeze, source, axis)
    return source


def _normalise(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    return reader.call(F.normalize, source, float(given.get("p", 2)), int(given.get("axis", -1)))


def _with_alpha(function: Callable[..., Tensor], default: float) -> Read:
    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.call(
            function, reader.operand(node.input[0]), float(given.get("alpha", default))
        )

    return read


def _gelu(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    form = given.get("approximate", b"none").decode()
    return reader.call(F.gelu, reader.operand(node.input[0]), approximate=form)


def _slice(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    starts = given.get("starts") or reader.integers(node.input, 1) or []
    ends = given.get("ends") or reader.integers(node.input, 2) or []
    axes = given.get("axes") or reader.integers(node.input, 3) or range(len(starts))
    steps = reader.integers(node.input, 4) or [1] * len(starts)
    index = [slice(None)] * (max(axes) + 1)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis < 1 or step < 1:
            raise reader.unknown_form(node)
        index[axis] = slice(start, end, step)
    return reader.call(operator.getitem, reader.operand(node.input[0]), tuple(index))


def _split(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> list[fx.Node]:
    axis = int(given.get("axis", 0))
    if axis < 1:
        raise reader.unknown_form(node)
    parts = given.get("split") or reader.integers(node.input, 1)
    if not parts:
        size = math.ceil(reader.sizes(node.input[0])[axis - 1] / len(node.output))
        parts = [size] * len(node.output)
    source = reader.operand(node.input[0])
    before = [slice(None)] * axis
    return [
        reader.call(operator.getitem, source, (*before, slice(start, end)))
        for start, end in pairwise(accumulate(parts, initial=0))
    ]


def _gather(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    index = reader.array(node.input[1])
    if index.ndim != 0:
        raise reader.unknown_form(node)
    source = reader.operand(node.input[0])
    return reader.call(torch.select, source, int(given.get("axis", 0)), int(index))


def _concat(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    return reader.call(torch.cat, [reader.operand(n) for n in node.input], int(given["axis"]))


def _softmax(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    return reader.call(torch.softmax, reader.operand(node.input[0]), int(given.get("axis", -1)))


def _pad(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    mode = given.get("mode", b"constant").decode()
    pads = given.get("pads") or reader.integers(node.input, 1) or []
    value = float(given.get("value", 0.0))
    if len(node.input) > 2 and node.input[2]:
        value = float(reader.array(node.input[2]).item())
    axes = reader.integers(node.input, 3) or range(len(pads) // 2)
    rank = reader.rank(node.input[0])
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    if rank is None or mode not in modes:
        raise reader.unknown_form(node)
    before, after = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads, pads[len(pads) // 2 :], strict=False):
        before[axis], after[axis] = first, last
    if before[0] or after[0]:
        raise reader.unknown_form(node)
    layer = _Pad(before[1:], after[1:], modes[mode], value)
    return reader.layer(layer, reader.operand(node.input[0]))


def _max_pool(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source, pads = reader.operand(node.input[0]), _pads(reader, node, given)
    kernel = tuple(given["kernel_shape"])
    if pads[:2] != pads[2:] or any(2 * n > size for n, size in zip(pads, kernel, strict=False)):
        lowest = torch.finfo(torch.float32).min
        source = reader.layer(_Pad(pads[:2], pads[2:], "constant", lowest), source)
        pads = [0, 0]
    layer = nn.MaxPool2d(
        kernel,
        tuple(given.get("strides", (1, 1))),
        tuple(pads[:2]),
        tuple(given.get("dilations", (1, 1))),
        ceil_mode=bool(given.get("ceil_mode", 0)),
    )
    return reader.layer(layer, source)


def _average_pool(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    pads = _pads(reader, node, given)
    counts_pads = bool(given.get("count_include_pad", 0))
    pool = partial(
        nn.AvgPool2d,
        tuple(given["kernel_shape"]),
        tuple(given.get("strides", (1, 1))),
        ceil_mode=bool(given.get("ceil_mode", 0)),
        count_include_pad=counts_pads,
    )
    layer: nn.Module = pool((pads[0], pads[1]))
    if pads[:2] != pads[2:]:
        if given.get("ceil_mode", 0):
            raise reader.unknown_form(node)
        pad = _Pad(pads[:2], pads[2:], "constant", 0.0)
        height, width = reader.sizes(node.input[0])[1:]
        layer = (
            nn.Sequential(pad, pool())
            if counts_pads
            else _CoveredAverage(pad, pool(), (height, width))
        )
    return reader.layer(layer, reader.operand(node.input[0]))


def _global_pool(kind: Callable[[int], nn.Module]) -> Read:
    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.layer(kind(1), reader.operand(node.input[0]))

    return read


def _hard_sigmoid(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scaled = reader.call(torch.mul, reader.operand(node.input[0]), float(given.get("alpha", 0.2)))
    moved = reader.call(torch.add, scaled, float(given.get("beta", 0.5)))
    return reader.call(torch.clamp, moved, min=0.0, max=1.0)


def _function(function: Callable[..., Tensor]) -> Read:
    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.call(function, *(reader.operand(name) for name in node.input))

    return read


def _over_all(function: Callable[..., Tensor]) -> Read:
    """Read an operator of any number of operands."""

    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        first, *others = (reader.operand(name) for name in node.input)
        for other in others:
            first = reader.call(function, first, other)
        return first

    return read


def _load(parameter: Tensor, value: Array) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value, np.float32)))


OPERATORS: dict[str, Read] = {
    "Conv": _conv,
    "BatchNormalization": _norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "PRelu": _prelu,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Clip": _clip,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "ReduceMax": _reduce(torch.amax),
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "ReduceSumSquare": _reduce(sum_of_squares),
    "LpNormalization": _normalise,
    "LeakyRelu": _with_alpha(F.leaky_relu, 0.01),
    "Elu": _with_alpha(F.elu, 1.0),
    "Gelu": _gelu,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Concat": _concat,
    "Softmax": _softmax,
    "HardSigmoid": _hard_sigmoid,
    "Pad": _pad,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_pool(nn.AdaptiveAvgPool2d),
    "GlobalMaxPool": _global_pool(nn.AdaptiveMaxPool2d),
    "Sum": _over_all(torch.add),
    "Max": _over_all(torch.maximum),
    "Min": _over_all(torch.minimum),
    "Add": _function(torch.add),
    "Sub": _function(torch.sub),
    "Mul": _function(torch.mul),
    "Div": _function(torch.div),
    "Pow": _function(torch.pow),
    "Sqrt": _function(torch.sqrt),
    "Reciprocal": _function(torch.reciprocal),
    "Exp": _function(torch.exp),
    "Log": _function(torch.log),
    "Neg": _function(torch.neg),
    "Abs": _function(torch.abs),
    "Relu": _function(torch.relu),
    "Sigmoid": _function(torch.sigmoid),
    "Tanh": _function(torch.tanh),
    "Erf": _function(torch.erf),
    "Softplus": _function(F.softplus),
    "HardSwish": _function(F.hardswish),
}
