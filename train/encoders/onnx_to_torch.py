"""Read an ONNX encoder as a torch.fx graph, whose layers can be split and trained."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edge.errors import ConfigError
from train.backbones import Convolution

Array = NDArray[Any]


def read_encoder(content: bytes, name: str = "encoder") -> fx.GraphModule:
    """Return the module of an ONNX file's content, from pictures (N,3,H,W) to its first output.

    `name` is shown in messages. Raises ConfigError for operators that encoders do not need.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises its own types
        raise ConfigError(f"{name}: not an ONNX file ({type(error).__name__})") from error
    try:
        return _Reader(onnx.shape_inference.infer_shapes(model), name).read()
    except ConfigError:
        raise
    except Exception as error:  # a graph that breaks the rules of ONNX raises many types
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{name}: not a valid ONNX graph ({reason[:200]}); export it again"
        ) from error


def build_module(root: nn.Module, graph: fx.Graph, name: str) -> fx.GraphModule:
    """Return a graph as a module without the nodes that nothing uses."""
    module = fx.GraphModule(root, graph, name).eval()
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


class _Pad(nn.Module):
    """Zero padding on four sides, for convolutions whose sides differ."""

    def __init__(self, pads: Sequence[int]) -> None:
        super().__init__()
        top, left, bottom, right = pads
        self.sides = (left, right, top, bottom)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides)


class _Reader:
    """State of one reading: values by their ONNX names."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model, self.name = model, name
        self.graph, self.root = fx.Graph(), nn.Module()
        self.constants: dict[str, Array] = {
            tensor.name: np.array(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }
        self.ranks = {
            value.name: len(value.type.tensor_type.shape.dim)
            for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)
        }
        self.values: dict[str, fx.Node] = {}
        self.sizes: set[str] = set()  # values computed from sizes, such as the shape of Reshape
        self.count = 0

    def read(self) -> fx.GraphModule:
        source = next(v for v in self.model.graph.input if v.name not in self.constants)
        self.values[source.name] = self.graph.placeholder("chip")
        for node in self.model.graph.node:
            self._read_node(node)
        result = self.model.graph.output[0].name
        self.graph.output(self.operand(result))
        return build_module(self.root, self.graph, "Encoder")

    def _read_node(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Constant":
            self.constants[node.output[0]] = _constant_of(node)
            return
        if node.op_type == "Shape" or self.sizes.intersection(node.input[:1]):
            self.sizes.update(node.output)
            return
        # Encoders are computed in float32 throughout. An expanded value is used by operators that
        # expand it themselves.
        if node.op_type in ("Identity", "Dropout", "Cast", "Expand"):
            self._alias(node.input[0], node.output[0])
            return
        read = _LAYERS.get(node.op_type) or _FUNCTIONS.get(node.op_type)
        if read is None:
            raise ConfigError(
                f"{self.name}: operator {node.op_type} (node {node.name or node.output[0]}) "
                "is not supported; export the encoder without it"
            )
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self.values[node.output[0]] = read(self, node, attributes)

    def _alias(self, source: str, target: str) -> None:
        if source in self.constants:
            self.constants[target] = self.constants[source]
        else:
            self.values[target] = self.values[source]

    def layer(self, module: nn.Module, source: fx.Node) -> fx.Node:
        """Add a layer and the node that calls it."""
        self.count += 1
        name = f"layer{self.count}"
        self.root.add_module(name, module)
        return self.graph.call_module(name, (source,))

    def operand(self, name: str) -> fx.Node:
        """Return the node of an operand; a constant becomes a buffer."""
        if name in self.values:
            return self.values[name]
        if name not in self.constants:
            raise ConfigError(f"{self.name}: tensor {name} is used before it is computed")
        self.count += 1
        key = f"constant{self.count}"
        self.root.register_buffer(key, torch.from_numpy(np.array(self.constants[name])))
        self.values[name] = self.graph.get_attr(key)
        return self.values[name]

    def array(self, name: str) -> Array:
        """Return a constant operand; raises ConfigError for one that is computed."""
        if name not in self.constants:
            raise ConfigError(
                f"{self.name}: operand {name} is computed at run time; "
                "export the model with fixed shapes"
            )
        return self.constants[name]


Attributes = dict[str, Any]


def _constant_of(node: onnx.NodeProto) -> Array:
    value = onnx.helper.get_attribute_value(node.attribute[0])
    if isinstance(value, onnx.TensorProto):
        return np.array(numpy_helper.to_array(value))
    return np.asarray(value)


def _conv(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    weight = reader.array(node.input[1])
    source = reader.operand(node.input[0])
    if weight.ndim != 4 or given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ConfigError(f"{reader.name}: convolution {node.name} has an unknown form")
    pads = list(given.get("pads", [0, 0, 0, 0]))
    if pads[:2] != pads[2:]:
        source, pads = reader.layer(_Pad(pads), source), [0, 0, 0, 0]
    groups = int(given.get("group", 1))
    layer = Convolution(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        tuple(given.get("strides", (1, 1))),
        tuple(pads[:2]),
        tuple(given.get("dilations", (1, 1))),
        groups,
        bias=len(node.input) > 2 and node.input[2] != "",
    )
    _load(layer.weight, weight)
    if layer.bias is not None:
        _load(layer.bias, reader.array(node.input[2]))
    return reader.layer(layer, source)


def _norm(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scale, shift, mean, variance = (reader.array(name) for name in node.input[1:5])
    rank = reader.ranks.get(node.input[0], 4)
    layer = (nn.BatchNorm1d if rank == 2 else nn.BatchNorm2d)(
        len(scale), eps=float(given.get("epsilon", 1e-5))
    )
    _load(layer.weight, scale)
    _load(layer.bias, shift)
    assert layer.running_mean is not None and layer.running_var is not None
    _load(layer.running_mean, mean)
    _load(layer.running_var, variance)
    return reader.layer(layer, reader.operand(node.input[0]))


def _prelu(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    slope = reader.array(node.input[1]).reshape(-1)
    layer = nn.PReLU(len(slope))
    _load(layer.weight, slope)
    return reader.layer(layer, reader.operand(node.input[0]))


def _gemm(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    weight = reader.array(node.input[1]) * float(given.get("alpha", 1.0))
    weight = weight if given.get("transB", 0) else weight.T
    bias = reader.array(node.input[2]) if len(node.input) > 2 else None
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1) * float(given.get("beta", 1.0)), (weight.shape[0],))
    return reader.layer(_linear(weight, bias), reader.operand(node.input[0]))


def _matmul(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    if node.input[1] in reader.constants and reader.array(node.input[1]).ndim == 2:
        layer = _linear(reader.array(node.input[1]).T, None)
        return reader.layer(layer, reader.operand(node.input[0]))
    operands = tuple(reader.operand(name) for name in node.input)
    return reader.graph.call_function(torch.matmul, operands)


def _linear(weight: Array, bias: Array | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _load(layer.weight, weight)
    if bias is not None:
        _load(layer.bias, bias)
    return layer


def _clip(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    bounds = [
        reader.array(name).item() if name else None for name in [*node.input[1:3], "", ""][:2]
    ]
    low, high = given.get("min", bounds[0]), given.get("max", bounds[1])
    return reader.graph.call_function(
        torch.clamp, (reader.operand(node.input[0]),), {"min": low, "max": high}
    )


def _reshape(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    if reader.ranks.get(node.output[0]) == 2 or node.input[1] not in reader.constants:
        return reader.graph.call_function(torch.flatten, (source, 1))
    shape = [int(n) for n in reader.array(node.input[1])]
    # A batch that is fixed in the file becomes the batch of the input.
    return reader.graph.call_function(torch.reshape, (source, (-1, *shape[1:])))


def _flatten(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    axis = int(given.get("axis", 1))
    return reader.graph.call_function(torch.flatten, (reader.operand(node.input[0]), axis))


def _transpose(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    order = tuple(int(n) for n in given["perm"])
    return reader.graph.call_function(torch.permute, (reader.operand(node.input[0]), order))


def _axes(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> tuple[int, ...]:
    if "axes" in given:
        return tuple(int(n) for n in given["axes"])
    return tuple(int(n) for n in reader.array(node.input[1]).reshape(-1))


def _reduce(
    function: Callable[..., Tensor],
) -> Callable[[_Reader, onnx.NodeProto, Attributes], fx.Node]:
    def read(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.graph.call_function(
            function,
            (reader.operand(node.input[0]),),
            {"dim": _axes(reader, node, given), "keepdim": bool(given.get("keepdims", 1))},
        )

    return read


def _squeeze(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    if "axes" not in given and len(node.input) < 2:  # all sizes of one, but not the batch
        return reader.graph.call_function(torch.flatten, (source, 1))
    return reader.graph.call_function(torch.squeeze, (source, _axes(reader, node, given)))


def _unsqueeze(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    source = reader.operand(node.input[0])
    for axis in sorted(_axes(reader, node, given)):
        source = reader.graph.call_function(torch.unsqueeze, (source, axis))
    return source


def _normalise(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    return reader.graph.call_function(
        F.normalize,
        (reader.operand(node.input[0]), float(given.get("p", 2)), int(given.get("axis", -1))),
    )


def _leaky_relu(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    return reader.graph.call_function(
        F.leaky_relu, (reader.operand(node.input[0]), float(given.get("alpha", 0.01)))
    )


def _slice(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    starts, ends = (reader.array(name).reshape(-1) for name in node.input[1:3])
    axes = reader.array(node.input[3]).reshape(-1) if len(node.input) > 3 else range(len(starts))
    steps = reader.array(node.input[4]).reshape(-1) if len(node.input) > 4 else [1] * len(starts)
    index = [slice(None)] * (int(max(axes)) + 1)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis < 1 or step < 1:
            raise ConfigError(f"{reader.name}: slice {node.name} has an unknown form")
        index[int(axis)] = slice(int(start), int(end), int(step))
    return reader.graph.call_function(
        operator.getitem, (reader.operand(node.input[0]), tuple(index))
    )


def _concat(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    operands = [reader.operand(name) for name in node.input]
    return reader.graph.call_function(torch.cat, (operands, int(given["axis"])))


def _softmax(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    axis = int(given.get("axis", -1))
    return reader.graph.call_function(torch.softmax, (reader.operand(node.input[0]), axis))


def _pool(kind: Callable[..., nn.Module]) -> Callable[[_Reader, onnx.NodeProto, Attributes], Any]:
    def read(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        pads = list(given.get("pads", [0, 0, 0, 0]))
        if pads[:2] != pads[2:]:
            raise ConfigError(f"{reader.name}: pooling {node.name} has an unknown form")
        layer = kind(
            tuple(given["kernel_shape"]), tuple(given.get("strides", (1, 1))), tuple(pads[:2])
        )
        return reader.layer(layer, reader.operand(node.input[0]))

    return read


def _global_average(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    return reader.layer(nn.AdaptiveAvgPool2d(1), reader.operand(node.input[0]))


def _hard_sigmoid(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
    scaled = reader.graph.call_function(
        torch.mul, (reader.operand(node.input[0]), float(given.get("alpha", 0.2)))
    )
    moved = reader.graph.call_function(torch.add, (scaled, float(given.get("beta", 0.5))))
    return reader.graph.call_function(torch.clamp, (moved,), {"min": 0.0, "max": 1.0})


def _function(
    function: Callable[..., Tensor],
) -> Callable[[_Reader, onnx.NodeProto, Attributes], fx.Node]:
    def read(reader: _Reader, node: onnx.NodeProto, given: Attributes) -> fx.Node:
        return reader.graph.call_function(
            function, tuple(reader.operand(name) for name in node.input)
        )

    return read


_LAYERS: dict[str, Callable[[_Reader, onnx.NodeProto, Attributes], fx.Node]] = {
    "Conv": _conv,
    "BatchNormalization": _norm,
    "PRelu": _prelu,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Clip": _clip,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "ReduceL2": _reduce(torch.linalg.vector_norm),
    "LpNormalization": _normalise,
    "LeakyRelu": _leaky_relu,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Concat": _concat,
    "Softmax": _softmax,
    "HardSigmoid": _hard_sigmoid,
    "MaxPool": _pool(nn.MaxPool2d),
    "AveragePool": _pool(nn.AvgPool2d),
    "GlobalAveragePool": _global_average,
}
_FUNCTIONS: dict[str, Callable[[_Reader, onnx.NodeProto, Attributes], fx.Node]] = {
    "Add": _function(torch.add),
    "Sub": _function(torch.sub),
    "Mul": _function(torch.mul),
    "Div": _function(torch.div),
    "Pow": _function(torch.pow),
    "Sqrt": _function(torch.sqrt),
    "Neg": _function(torch.neg),
    "Abs": _function(torch.abs),
    "Relu": _function(torch.relu),
    "Sigmoid": _function(torch.sigmoid),
    "Tanh": _function(torch.tanh),
    "Erf": _function(torch.erf),
    "HardSwish": _function(F.hardswish),
}


def _load(parameter: Tensor, value: Array) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value, np.float32)))
