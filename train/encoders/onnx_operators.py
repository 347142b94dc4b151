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

_INDEX_MAX = 2**31 - 1  # larger bounds of slices mean the end
_SOFTMAX_OF_ONE_AXIS = 13  # opset

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
        bias=(bias := reader.optional(node, 2)) is not None,
    )
    _load(layer.weight, weight)
    if layer.bias is not None and bias is not None:
        _load(layer.bias, bias)
    return reader.layer(layer, source)


def _norm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scale, shift, mean, variance = (reader.array(name) for name in node.input[1:5])
    if given.get("training_mode", 0):
        raise reader.unknown_form(node, "training_mode is set")
    is_flat = reader.rank(node.input[0]) < 4
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
    scale, shift = reader.array(node.input[1]), reader.optional(node, 2)
    axis = reader.axis(node, int(given.get("axis", -1)))
    if scale.ndim != reader.rank(node.input[0]) - axis:
        raise reader.unknown_form(node, "its scale has not the shape of the normalised axes")
    layer = nn.LayerNorm(scale.shape, eps=float(given.get("epsilon", 1e-5)))
    _load(layer.weight, scale)
    _load(layer.bias, np.zeros_like(scale) if shift is None else shift)
    return reader.layer(layer, reader.operand(node.input[0]))


def _instance_norm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scale, shift = (reader.array(name) for name in node.input[1:3])
    layer = nn.InstanceNorm2d(len(scale), eps=float(given.get("epsilon", 1e-5)), affine=True)
    _load(layer.weight, scale)
    _load(layer.bias, shift)
    return reader.layer(layer, reader.operand(node.input[0]))


def _prelu(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    given_slope = reader.array(node.input[1])
    slope = given_slope.reshape(-1)
    channels = given_slope.ndim - reader.rank(node.input[0]) + 1  # their place in the slope
    if len(slope) != 1 and not (channels >= 0 and given_slope.shape[channels] == len(slope)):
        raise reader.unknown_form(node, "its slope is not one value per channel")
    layer = nn.PReLU(len(slope))
    _load(layer.weight, slope)
    return reader.layer(layer, reader.operand(node.input[0]))


def _gemm(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    if given.get("transA", 0):
        raise reader.unknown_form(node)
    weight = reader.array(node.input[1]) * float(given.get("alpha", 1.0))
    weight = weight if given.get("transB", 0) else weight.T
    bias = reader.optional(node, 2)
    if weight.ndim != 2 or (bias is not None and bias.size > 1 and bias.size != bias.shape[-1]):
        raise reader.unknown_form(node)
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
    source = reader.operand(node.input[0])
    if low is None and high is None:
        return source
    return reader.call(torch.clamp, source, min=low, max=high)


def _reshape(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    if node.input[1] in reader.computed_sizes:
        return reader.call(torch.flatten, source, 1)
    before = reader.sizes(node.input[0])
    shape = [int(n) for n in reader.array(node.input[1])][1:]
    if 0 in shape and not given.get("allowzero", 0):
        # A zero keeps the size of the input at its place.
        shape = [n or before[i] for i, n in enumerate(shape)]
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        shape = [math.prod(before) // known if n == -1 else n for n in shape]
    if not shape or min(shape) < 1 or math.prod(shape) != math.prod(before):
        raise reader.unknown_form(node, f"sizes {before} become {shape}")
    if len(shape) == 1:
        return reader.call(torch.flatten, source, 1)
    # A batch that is fixed in the file becomes the batch of the input.
    return reader.call(torch.reshape, source, (-1, *shape))


def _flatten(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    axis = reader.axis(node, int(given.get("axis", 1)))
    if axis != 1:
        raise reader.unknown_form(node, f"axis {axis} joins the batch with other axes")
    return reader.call(torch.flatten, reader.operand(node.input[0]), axis)


def _transpose(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    rank = reader.rank(node.input[0])
    order = tuple(int(n) for n in given.get("perm", range(rank)[::-1]))
    if sorted(order) != list(range(rank)):
        raise reader.unknown_form(node, f"perm {list(order)[:8]} of {rank} dimensions")
    return reader.call(torch.permute, source, order)


def _axes(
    reader: GraphReader, node: onnx.NodeProto, given: Attributes, rank: int | None = None
) -> tuple[int, ...]:
    """Return the axes of a node, counted from the first; empty if it has none."""
    found = given["axes"] if "axes" in given else reader.integers(node, 1) or ()
    axes = tuple(reader.axis(node, int(n), rank) for n in found)
    if len(set(axes)) != len(axes):
        raise reader.unknown_form(node, "an axis is given twice")
    return axes


def _reduce(function: Callable[..., Tensor]) -> Read:
    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        source = reader.operand(node.input[0])
        axes = _axes(reader, node, given)
        if not axes and given.get("noop_with_empty_axes", 0):
            return source
        if not axes:
            raise reader.unknown_form(node, "without axes it reduces the batch")
        return reader.call(function, source, dim=axes, keepdim=bool(given.get("keepdims", 1)))

    return read


def sum_of_squares(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """Return the sum of squares over dimensions."""
    return torch.sum(x * x, dim, keepdim)


def _squeeze(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    sizes = reader.shape(node.input[0])
    # Without axes: all sizes of one, but not the batch.
    axes = _axes(reader, node, given) or tuple(i for i, n in enumerate(sizes) if i and n == 1)
    if any(sizes[axis] != 1 for axis in axes):
        raise reader.unknown_form(node, f"axes {list(axes)} of the sizes {sizes[1:]}")
    return reader.call(torch.squeeze, source, axes)


def _unsqueeze(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    added = len(given.get("axes") or reader.integers(node, 1) or ())
    for axis in sorted(_axes(reader, node, given, reader.rank(node.input[0]) + added)):
        source = reader.call(torch.unsqueeze, source, axis)
    return source


def _normalise(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    axis = reader.axis(node, int(given.get("axis", -1)))
    return reader.call(F.normalize, source, float(given.get("p", 2)), axis)


def _with_alpha(function: Callable[..., Tensor], default: float) -> Read:
    def read(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.call(
            function, reader.operand(node.input[0]), float(given.get("alpha", default))
        )

    return read


def _gelu(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    form = given.get("approximate", b"none").decode()
    if form not in ("none", "tanh"):
        raise reader.unknown_form(node)
    return reader.call(F.gelu, reader.operand(node.input[0]), approximate=form)


def _slice(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    starts = given.get("starts") or reader.integers(node, 1) or []
    ends = given.get("ends") or reader.integers(node, 2) or []
    axes = given.get("axes") or reader.integers(node, 3) or range(len(starts))
    steps = reader.integers(node, 4) or [1] * len(starts)
    index = [slice(None)] * reader.rank(node.input[0])
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise reader.unknown_form(node, f"step {step}")
        low, high = (max(-_INDEX_MAX, min(n, _INDEX_MAX)) for n in (start, end))
        index[reader.axis(node, axis)] = slice(low, high, min(step, _INDEX_MAX))
    while index and index[-1] == slice(None):
        index.pop()
    return reader.call(operator.getitem, reader.operand(node.input[0]), tuple(index))


def _split(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> list[fx.Node]:
    axis = reader.axis(node, int(given.get("axis", 0)))
    size = reader.shape(node.input[0])[axis]
    parts = given.get("split") or reader.integers(node, 1)
    if not parts:
        most = math.ceil(size / len(node.output))
        bounds = [min(i * most, size) for i in range(len(node.output) + 1)]
        parts = [end - start for start, end in pairwise(bounds)]
    if len(parts) != len(node.output) or min(parts) < 1 or sum(parts) != size:
        raise reader.unknown_form(node, f"parts {list(parts)[:8]} of the size {size}")
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
    axis = reader.axis(node, int(given.get("axis", 0)))
    return reader.call(torch.select, source, axis, int(index))


def _concat(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    axis = reader.axis(node, int(given["axis"]))
    return reader.call(torch.cat, [reader.operand(n) for n in node.input], axis)


def _softmax(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    is_flat = reader.opset < _SOFTMAX_OF_ONE_AXIS  # over all axes from this one on
    axis = reader.axis(node, int(given.get("axis", 1 if is_flat else -1)))
    if is_flat and axis != reader.rank(node.input[0]) - 1:
        raise reader.unknown_form(node, f"axis {axis} of opset {reader.opset}")
    return reader.call(torch.softmax, reader.operand(node.input[0]), axis)


def _pad(reader: GraphReader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    mode = given.get("mode", b"constant").decode()
    pads = given.get("pads") or reader.integers(node, 1) or []
    value = float(given.get("value", 0.0))
    if (constant := reader.optional(node, 2)) is not None:
        value = float(constant.item())
    axes = reader.integers(node, 3) or range(len(pads) // 2)
    rank = reader.rank(node.input[0])
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    if mode not in modes or len(pads) != 2 * len(axes):
        raise reader.unknown_form(node)
    before, after = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        if first or last:
            place = reader.axis(node, axis)
            before[place], after[place] = first, last
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
    if any(n != 1 for n in given.get("dilations", ())):
        raise reader.unknown_form(node)
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
        reader.spend(4 * (height + pads[0] + pads[2]) * (width + pads[1] + pads[3]))
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
    if parameter.shape != value.shape:
        raise ValueError(f"weights of {value.shape} for {tuple(parameter.shape)}")
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
