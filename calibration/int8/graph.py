"""Choice of the tensors to quantise, and insertion of Q/DQ pairs.

The placement is what TensorRT fuses best: inputs and weights of Conv and Gemm, and of an Add only
the residual input. Conv -> activation and Conv -> Add stay direct. Branches that end in a Softmax
or Sigmoid, such as the gate of the attention, stay in float. Weights are int8 in the file, per
output channel and symmetric, followed by a DequantizeLinear. Activations are quantised per tensor
and symmetric. Zero points are 0, as TensorRT requires. Biases stay float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter

from calibration.int8.ranges import LEVELS
from edge.errors import EngineError

_LAYERS = ("Conv", "Gemm")
_GATES = ("Softmax", "Sigmoid", "Greater")
_ZERO = "int8_zero_point"
_OPSET = 13  # first opset with a DequantizeLinear per channel


@dataclass(frozen=True)
class QuantizableLayer:
    """Conv or Gemm node that can be quantised."""

    name: str
    kind: str  # Conv or Gemm
    input: str
    weight: str
    axis: int  # axis of the output channels in the weight


@dataclass(frozen=True)
class QuantizationPlan:
    """Nodes of a network that can be quantised."""

    layers: tuple[QuantizableLayer, ...]
    residuals: Mapping[str, str]  # name of the Add -> its residual input
    gates: tuple[str, ...]  # layers that stay in float

    @property
    def node_names(self) -> list[str]:
        """Names of layers and residual Adds, which can be left in float."""
        return [*(layer.name for layer in self.layers), *self.residuals]

    def activations(self, float_layers: Collection[str] = ()) -> list[str]:
        """Return the tensors that need a range, in the order of the network."""
        of_layers = [layer.input for layer in self.layers if layer.name not in float_layers]
        of_adds = [tensor for name, tensor in self.residuals.items() if name not in float_layers]
        return list(dict.fromkeys([*of_layers, *of_adds]))


def plan_quantization(model: onnx.ModelProto) -> QuantizationPlan:
    """Find the nodes to quantise; raises EngineError for none, or for a quantised network."""
    graph = model.graph
    if any(node.op_type == "QuantizeLinear" for node in graph.node):
        raise EngineError("the network is quantised already; name the FP32 file")
    made_by = {output: node for node in graph.node for output in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    weights = {tensor.name for tensor in graph.initializer}
    gates = _gates(graph)
    layers = tuple(
        QuantizableLayer(node.name, node.op_type, node.input[0], node.input[1], _channel_axis(node))
        for node in graph.node
        if node.op_type in _LAYERS and node.input[1] in weights and node.name not in gates
    )
    if not layers or len({layer.name for layer in layers}) != len(layers):
        raise EngineError(
            "expected Conv or Gemm nodes with unique names and weights in the file, found none"
        )
    residuals = {}
    for node in graph.node:
        if node.op_type == "Add" and not weights & set(node.input):
            residuals[node.name] = _residual(node, made_by, uses)
    return QuantizationPlan(layers, residuals, tuple(sorted(gates)))


def _channel_axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1


def _gates(graph: onnx.GraphProto) -> set[str]:
    """Return the layers whose results only gates use: Softmax, Sigmoid or a comparison."""
    readers: dict[str, set[str]] = {output.name: {"output of the graph"} for output in graph.output}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.output[0])
    reached: set[str] = set()  # outputs of nodes whose results only gates use
    # From the last node to the first: all readers of a node come before it.
    for node in reversed(graph.node):
        if node.op_type in _GATES or readers.get(node.output[0], {""}) <= reached:
            reached.add(node.output[0])
    return {
        node.name for node in graph.node if node.op_type in _LAYERS and node.output[0] in reached
    }


def _residual(
    node: onnx.NodeProto, made_by: Mapping[str, onnx.NodeProto], uses: Mapping[str, int]
) -> str:
    """Return the input that does not come from the Conv with which the Add is fused."""

    def straight(name: str) -> bool:
        return uses[name] == 1 and name in made_by and made_by[name].op_type in _LAYERS

    first, second = map(str, node.input)
    return second if straight(first) and not straight(second) else first


def insert_qdq(
    model: onnx.ModelProto, ranges: Mapping[str, float], float_layers: Collection[str] = ()
) -> onnx.ModelProto:
    """Return a copy with Q/DQ pairs; `ranges` are the largest magnitudes of the activations.

    `float_layers` (layers and Adds) stay in float. Raises EngineError for a missing or zero range.
    """
    places = plan_quantization(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if result.opset_import[0].version < _OPSET:
        result = version_converter.convert_version(result, _OPSET)
    graph = result.graph
    quantised = {layer.name: layer for layer in places.layers if layer.name not in float_layers}
    graph.initializer.append(numpy_helper.from_array(np.int8(0), _ZERO))
    before: dict[str, list[onnx.NodeProto]] = {}  # by the tensor that they follow

    def pair(tensor: str) -> str:
        """Return the dequantised form of an activation, shared by all readers."""
        if tensor not in before:
            scale = ranges.get(tensor, 0.0) / LEVELS
            if not (np.isfinite(scale) and scale > 0):
                raise EngineError(
                    f"{tensor}: expected a range above 0, found {ranges.get(tensor)}; "
                    "use real chips"
                )
            graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{tensor}_scale"))
            before[tensor] = _pair(tensor, f"{tensor}_scale")
        return f"{tensor}_dequantised"

    weights = {tensor.name: tensor for tensor in graph.initializer}
    done: dict[str, onnx.NodeProto] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name in quantised:
            layer = quantised[node.name]
            node.input[0] = pair(layer.input)
            if layer.weight not in done:
                done[layer.weight] = _shrink(graph, weights[layer.weight], layer.axis)
                nodes.append(done[layer.weight])
            node.input[1] = f"{layer.weight}_dequantised"
        elif node.name in places.residuals and node.name not in float_layers:
            tensor = places.residuals[node.name]
            index = list(node.input).index(tensor)
            node.input[index] = pair(tensor)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(_ordered(nodes, before))
    onnx.checker.check_model(result, full_check=True)
    return result


def _pair(tensor: str, scale: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node(
            "QuantizeLinear", [tensor, scale, _ZERO], [f"{tensor}_quantised"], f"{tensor}_quantise"
        ),
        helper.make_node(
            "DequantizeLinear",
            [f"{tensor}_quantised", scale, _ZERO],
            [f"{tensor}_dequantised"],
            f"{tensor}_dequantise",
        ),
    ]


def _shrink(graph: onnx.GraphProto, weight: onnx.TensorProto, axis: int) -> onnx.NodeProto:
    """Replace a weight by int8 values and scales; return the node that dequantises it."""
    values, scale = quantise_weight(numpy_helper.to_array(weight), axis)
    name = weight.name
    weight.CopyFrom(numpy_helper.from_array(values, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    zeros = numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}_zero_point")
    graph.initializer.append(zeros)
    inputs = [f"{name}_int8", f"{name}_scale", f"{name}_zero_point"]
    return helper.make_node(
        "DequantizeLinear", inputs, [f"{name}_dequantised"], f"{name}_dequantise", axis=axis
    )


def quantise_weight(
    weight: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return symmetric int8 values and the scale of each channel along `axis`."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = (np.abs(weight).max(axis=others) / LEVELS).astype(np.float32)
    scale[scale == 0] = 1.0
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    return np.clip(np.round(weight / scale.reshape(shape)), -LEVELS, LEVELS).astype(np.int8), scale


def _ordered(
    nodes: list[onnx.NodeProto], before: Mapping[str, list[onnx.NodeProto]]
) -> list[onnx.NodeProto]:
    """Return the nodes with each pair directly behind the producer of its tensor."""
    made = {output for node in nodes for output in node.output}
    ordered = [part for tensor, pair in before.items() if tensor not in made for part in pair]
    for node in nodes:
        ordered.append(node)
        for output in node.output:
            ordered += before.get(output, [])
    return ordered
