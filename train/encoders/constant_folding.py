"""Compute the nodes of an ONNX graph whose operands are constants, within bounds of memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from train.encoders.graph_reader import Array, GraphReader

Bound = Callable[[onnx.NodeProto, Sequence[Array]], int]

_DIMENSIONS_MAX = 64  # of numpy
_NOT_NUMBERS = (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128)


def _of_file(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    if any(a.name == "sparse_value" for a in node.attribute):
        raise ValueError("sparse tensors are not supported")
    return 0


def _as_operand(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    return int(operands[0].nbytes)


def _cast(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    if _attribute(node, "to", 0) in _NOT_NUMBERS:
        raise ValueError("its result is not a number")
    return 8 * operands[0].size


def _joined(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    return sum(operand.nbytes for operand in operands)


def _gathered(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    data, index = operands
    rows = max(data.shape[_attribute(node, "axis", 0)], 1)
    return int(index.size) * int(data.nbytes // rows)


def _broadcast(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    shape = np.broadcast_shapes(*(operand.shape for operand in operands))
    return math.prod(shape) * max(operand.itemsize for operand in operands)


def _filled(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    return 8 * math.prod(_shape(operands[0]))


def _expanded(node: onnx.NodeProto, operands: Sequence[Array]) -> int:
    data, shape = operands
    return math.prod(np.broadcast_shapes(data.shape, _shape(shape))) * data.itemsize


def _shape(operand: Array) -> tuple[int, ...]:
    if operand.ndim != 1 or len(operand) > _DIMENSIONS_MAX or (operand < 0).any():
        raise ValueError("its operand is not a shape")
    return tuple(int(n) for n in operand)


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


# The largest size in bytes of the result of each operator.
_BOUNDS: dict[str, Bound] = {
    "Constant": _of_file,
    "Cast": _cast,
    "Concat": _joined,
    "Gather": _gathered,
    "ConstantOfShape": _filled,
    "Expand": _expanded,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow"), _broadcast),
    **dict.fromkeys(
        (
            *("Identity", "Transpose", "Reshape", "Flatten", "Unsqueeze", "Squeeze", "Slice"),
            *("Neg", "Abs", "Sqrt", "Reciprocal"),
            *("ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare"),
        ),
        _as_operand,
    ),
}
FOLDED = frozenset(_BOUNDS)


def fold(reader: GraphReader, node: onnx.NodeProto) -> None:
    """Add the outputs of a node whose operands are constants; raises ConfigError.

    The size of the result is bounded before it is computed.
    """
    if node.op_type not in _BOUNDS:
        raise reader.refusal(node, "of constants is not supported")
    feeds = {name: reader.constants[name] for name in node.input if name}
    operands = [reader.constants[name] for name in node.input if name]
    try:
        size = _BOUNDS[node.op_type](node, operands)
    except (ValueError, IndexError) as error:
        raise reader.unknown_form(node, str(error)) from error
    reader.spend(size)
    evaluator = ReferenceEvaluator(node, opsets={"": reader.opset})
    with np.errstate(all="ignore"):
        found = evaluator.run(None, feeds)
    for name, value in zip(node.output, found, strict=False):
        reader.add_constant(name, np.asarray(value))
