from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from edge.errors import ConfigError
from tests.train.encoders.onnx_models import ModelBuilder, encoder_model, onnx_runner
from train.encoders.onnx_to_torch import read_encoder

RNG = np.random.default_rng(1)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def check_equal(model: onnx.ModelProto, *shape: int) -> None:
    x = floats(*shape)
    (expected,) = onnx_runner(model)(x).values()
    with torch.no_grad():
        found = read_encoder(model.SerializeToString())(torch.from_numpy(x)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_encoder_equals_onnx_runtime(opset: int) -> None:
    made = ModelBuilder()
    made.conv((3, 6), stride=2, pads=[0, 0, 1, 1])
    norm = [floats(6), floats(6), floats(6), np.abs(floats(6)) + 0.5]
    made.add("BatchNormalization", *norm, epsilon=1e-3)
    made.prelu(6)
    if opset < 11:
        made.add("Clip", min=-1.0, max=6.0)
    else:
        made.add("Clip", np.array(-1, np.float32), np.array(6, np.float32))
    before = made.last
    made.conv((6, 6), group=6)
    made.add("Add", before)
    made.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    made.add("GlobalAveragePool")
    made.add("Flatten")
    made.add("Gemm", floats(6, 5), floats(5), alpha=0.5, beta=2.0)
    made.add("BatchNormalization", floats(5), floats(5), floats(5), np.abs(floats(5)) + 0.5)
    check_equal(made.build(["batch", 3, 16, 14], opset), 2, 3, 16, 14)


OPERATORS: list[tuple[str, list[np.ndarray], dict[str, Any], int]] = [
    ("Conv", [floats(4, 3, 3, 3)], {"pads": [2, 0, 1, 1], "dilations": [1, 1]}, 17),
    ("Conv", [floats(4, 3, 3, 3)], {"auto_pad": "VALID", "strides": [2, 1]}, 17),
    ("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}, 17),
    ("ReduceMean", [], {"axes": [2, 3], "keepdims": 0}, 17),
    ("ReduceMean", [np.array([2, 3])], {}, 18),
    ("Reshape", [np.array([-1, 3 * 8 * 8])], {}, 17),
    ("Reshape", [np.array([1, 3, 4, 16])], {}, 17),
    ("Transpose", [], {"perm": [0, 2, 3, 1]}, 17),
    ("Slice", [np.array([1, 0]), np.array([3, 8]), np.array([1, 3]), np.array([1, 2])], {}, 17),
    ("Softmax", [], {"axis": 1}, 17),
    ("MatMul", [floats(8, 5)], {}, 17),
    ("HardSigmoid", [], {"alpha": 0.3, "beta": 0.4}, 17),
    ("HardSwish", [], {}, 17),
    ("Sigmoid", [], {}, 17),
    ("Tanh", [], {}, 17),
    ("Erf", [], {}, 17),
    ("Neg", [], {}, 17),
    ("Abs", [], {}, 17),
    ("Mul", [floats(3, 1, 1)], {}, 17),
    ("Sub", [floats(3, 1, 1)], {}, 17),
    ("Div", [np.float32([2.0])], {}, 17),
    ("Pow", [np.float32([2.0])], {}, 17),
    ("Cast", [], {"to": 1}, 17),
    ("ReduceSum", [np.array([1])], {"keepdims": 0}, 17),
    ("ReduceL2", [], {"axes": [1], "keepdims": 1}, 17),
    ("LpNormalization", [], {"axis": 1, "p": 2}, 17),
    ("LeakyRelu", [], {"alpha": 0.2}, 17),
    ("Unsqueeze", [np.array([2])], {}, 17),
    ("Conv", [floats(4, 3, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 17),
    ("Conv", [floats(4, 3, 2, 4)], {"auto_pad": "SAME_LOWER", "strides": [1, 3]}, 17),
    ("MaxPool", [], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 17),
    ("MaxPool", [], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}, 17),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, 17),
    ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 17),
    ("AveragePool", [], {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]}, 17),
    (
        "AveragePool",
        [],
        {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1], "count_include_pad": 1},
        17,
    ),
    ("Pad", [np.array([0, 0, 1, 2, 0, 0, 0, 1])], {}, 17),
    ("Pad", [np.array([0, 0, 1, 2, 0, 4, 0, 1]), np.float32(0.5)], {"mode": "constant"}, 17),
    ("Pad", [np.array([1, 2, 0, 1]), "", np.array([2, 3])], {"mode": "edge"}, 18),
    ("Pad", [np.array([0, 0, 1, 2, 0, 0, 0, 1])], {"mode": "reflect"}, 17),
    ("Pad", [], {"pads": [0, 0, 1, 1, 0, 0, 1, 1]}, 9),
    ("Elu", [], {}, 17),
    ("Elu", [], {"alpha": 0.7}, 17),
    ("Gelu", [], {"approximate": "tanh"}, 20),
    ("Softplus", [], {}, 17),
    ("Exp", [], {}, 17),
    ("Reciprocal", [], {}, 17),
    ("Max", [floats(3, 1, 1), floats(8)], {}, 17),
    ("Min", [floats(3, 1, 1)], {}, 17),
    ("Sum", [floats(3, 1, 1), floats(8)], {}, 17),
    ("ReduceMax", [], {"axes": [2, 3]}, 17),
    ("ReduceSumSquare", [], {"axes": [1], "keepdims": 0}, 17),
    ("GlobalMaxPool", [], {}, 17),
    ("LayerNormalization", [floats(8), floats(8)], {"axis": -1, "epsilon": 1e-3}, 17),
    ("LayerNormalization", [floats(8)], {}, 17),
    ("InstanceNormalization", [floats(3), floats(3)], {}, 17),
    ("Gather", [np.array(1)], {"axis": 2}, 17),
    ("Slice", [], {"starts": [1], "ends": [7], "axes": [3]}, 9),
    ("Reshape", [np.array([0, 0, -1])], {}, 17),
    ("Reshape", [np.array([0, -1])], {}, 17),
    ("Reshape", [np.array([0, -1, 2, 8])], {}, 17),
    ("Transpose", [], {"perm": [0, 3, 1, 2]}, 17),
    ("Unsqueeze", [np.array([-1, -3])], {}, 17),
    ("Unsqueeze", [], {"axes": [-1]}, 11),
    ("Slice", [np.array([-3]), np.array([2**63 - 1]), np.array([-1])], {}, 17),
    ("Slice", [np.array([-(2**63)]), np.array([-1]), np.array([-2]), np.array([3])], {}, 17),
    ("Slice", [], {"starts": [1], "ends": [7], "axes": [-2]}, 9),
    ("Split", [], {"axis": -1}, 17),
    ("Gather", [np.array(-2)], {"axis": -1}, 17),
    ("Softmax", [], {}, 17),
    ("Softmax", [], {"axis": 3}, 11),
    ("LpNormalization", [], {"axis": -3}, 17),
    ("LpNormalization", [], {}, 17),
    ("ReduceMean", [], {"axes": [-1, -2]}, 17),
    ("ReduceMean", [], {"noop_with_empty_axes": 1}, 18),
    (
        "ReduceMean",
        [
            "",
        ],
        {"noop_with_empty_axes": 1},
        18,
    ),
    ("ReduceMax", [np.array([-1])], {"keepdims": 0}, 18),
    ("Flatten", [], {"axis": -3}, 17),
    ("Pad", [np.array([1, 0, 0, 2]), "", np.array([-1, -2])], {}, 18),
    ("Clip", [], {}, 17),
    ("Clip", ["", np.array(0.5, np.float32)], {}, 17),
    ("Conv", [floats(4, 3, 3, 3), ""], {}, 17),
    ("LayerNormalization", [floats(8, 8), floats(8, 8)], {"axis": -2}, 17),
    ("LayerNormalization", [floats(3, 8, 8)], {"axis": 1}, 17),
    ("PRelu", [floats(1)], {}, 17),
    ("PRelu", [floats(1, 3, 1, 1)], {}, 17),
]


@pytest.mark.parametrize(("kind", "operands", "given", "opset"), OPERATORS)
def test_operator_equals_onnx_runtime(
    kind: str, operands: list[np.ndarray], given: dict[str, Any], opset: int
) -> None:
    made = ModelBuilder()
    made.add("Identity")
    made.add(kind, *operands, **given)
    check_equal(made.build([1, 3, 8, 8], opset), 1, 3, 8, 8)


@pytest.mark.parametrize(
    ("kind", "operands", "given"),
    [
        ("Unsqueeze", [np.array([-2, -1])], {}),
        ("Unsqueeze", [np.array([3, 1])], {}),
        ("Gemm", [floats(6, 5), ""], {}),
        ("Gemm", [floats(5, 6), np.float32(2)], {"transB": 1}),
        ("PRelu", [floats(6)], {}),
        ("Squeeze", [], {}),
    ],
)
def test_matrix_operator_equals_onnx_runtime(
    kind: str, operands: list[np.ndarray], given: dict[str, Any]
) -> None:
    made = ModelBuilder()
    made.add("GlobalAveragePool")
    made.add("Flatten")
    made.add(kind, *operands, **given)
    check_equal(made.build(["batch", 6, 4, 4]), 2, 6, 4, 4)


def test_layer_norm_with_empty_bias_has_none() -> None:
    scale, outputs = floats(8), []  # ONNX Runtime 1.32 crashes on an empty bias
    for operands in ([scale], [scale, ""]):
        made = ModelBuilder()
        made.add("LayerNormalization", *operands)
        module = read_encoder(made.build([1, 3, 8, 8]).SerializeToString())
        outputs.append(module(torch.linspace(-1, 3, 192).reshape(1, 3, 8, 8)))
    assert torch.equal(*outputs)


def test_transpose_without_perm_reverses_axes() -> None:
    made = ModelBuilder()
    made.add("Transpose")
    made.add("Transpose")
    check_equal(made.build([2, 3, 4, 5]), 2, 3, 4, 5)


def test_squeeze_without_axes_keeps_other_sizes() -> None:
    made = ModelBuilder()
    made.add("ReduceMax", axes=[2])
    made.add("Squeeze")
    check_equal(made.build([2, 3, 8, 8]), 2, 3, 8, 8)


@pytest.mark.parametrize("given", [{}, {"split": np.array([1, 3, 4])}])
def test_split_equals_onnx_runtime(given: dict[str, np.ndarray]) -> None:
    made = ModelBuilder()
    operands = [made.weight(value) for value in given.values()]
    parts = ["a", "b", "c"] if given else ["a", "b"]
    made.nodes.append(helper.make_node("Split", ["chip", *operands], parts, axis=2))
    made.last = parts[0]
    made.add("Concat", parts[-1], axis=2)
    check_equal(made.build([2, 3, 8, 8]), 2, 3, 8, 8)


@pytest.mark.parametrize("target", [[0, 0, -1], [0, -1]])
def test_reshape_of_any_batch_is_read(target: list[int]) -> None:
    made = ModelBuilder()
    made.conv((3, 4), stride=2)
    made.add("Reshape", np.array(target))
    check_equal(made.build(["batch", 3, 8, 8]), 2, 3, 8, 8)


def test_zero_padding_before_convolution_is_read() -> None:
    made = ModelBuilder()
    made.add("Pad", np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    made.conv((3, 4), stride=2, pads=[0, 0, 0, 0])
    made.add("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    made.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2])
    check_equal(made.build(["batch", 3, 16, 16]), 2, 3, 16, 16)


def test_weights_computed_of_constants_are_read() -> None:
    made = ModelBuilder()
    weight = made.weight(floats(3, 3, 3, 4))  # as TensorFlow stores it
    made.nodes.append(helper.make_node("Transpose", [weight], ["kernel"], perm=[3, 2, 0, 1]))
    slope = made.weight(floats(4))
    made.nodes.append(
        helper.make_node("Unsqueeze", [slope, made.weight(np.array([1, 2]))], ["slope"])
    )
    made.add("Conv", "kernel", kernel_shape=[3, 3])
    made.add("PRelu", "slope")
    check_equal(made.build(["batch", 3, 8, 8]), 2, 3, 8, 8)


def test_unit_norm_of_tensorflow_is_read() -> None:
    made = ModelBuilder()
    before = made.add("Flatten")
    made.add("ReduceSumSquare", axes=[1], keepdims=1)
    made.add("Max", np.float32(1e-12))
    made.add("Sqrt")
    made.add("Reciprocal")
    made.add("Mul", before)
    check_equal(made.build(["batch", 3, 8, 8]), 2, 3, 8, 8)


BAD_FORMS: list[tuple[str, list[np.ndarray], dict[str, Any]]] = [
    ("Pad", [np.array([1, 0, 0, 0, 0, 0, 0, 0])], {}),
    ("Gather", [np.array([1, 2])], {"axis": 1}),
    ("Slice", [np.array([0]), np.array([1]), np.array([0])], {}),
    ("Conv", [floats(4, 3, 3)], {}),
    ("Slice", [np.array([0]), np.array([1]), np.array([2**40])], {}),
    ("Slice", [np.array([0]), np.array([1]), np.array([-4])], {}),
    ("Slice", [np.array([7]), np.array([0]), np.array([2]), np.array([-1])], {}),
    ("Split", [], {"axis": 2**40}),
    ("Split", [], {"axis": -4}),
    ("Split", [np.array([9])], {"axis": 2}),
    ("Gather", [np.array(0)], {}),
    ("Unsqueeze", [np.array([0])], {}),
    ("Unsqueeze", [np.array([6])], {}),
    ("Unsqueeze", [np.array([1, 1])], {}),
    ("Squeeze", [np.array([1])], {}),
    ("Squeeze", [np.array([-5])], {}),
    ("ReduceMean", [], {}),
    ("ReduceMean", [], {"axes": [0, 1]}),
    ("ReduceMean", [], {"axes": [4]}),
    ("Transpose", [], {"perm": [0, 1, 2]}),
    ("Flatten", [], {"axis": 2}),
    ("Concat", [], {"axis": 0}),
    ("Softmax", [], {"axis": 9}),
    ("LpNormalization", [], {"axis": -9}),
    ("Pad", [np.array([0, 0, 1])], {}),
    ("PRelu", [floats(8)], {}),
    ("Reshape", [np.array([-1])], {}),
    ("Reshape", [np.array([-1, 3])], {}),
    ("Reshape", [np.array([2, 3, 2**40])], {}),
    ("Gemm", [floats(8, 4), floats(4, 1)], {}),
    ("BatchNormalization", [floats(3)] * 4, {"training_mode": 1}),
]


@pytest.mark.parametrize(("kind", "operands", "given"), BAD_FORMS)
def test_unknown_form_of_operator_is_refused(
    kind: str, operands: list[np.ndarray], given: dict[str, Any]
) -> None:
    made = ModelBuilder()
    made.add(kind, *operands, **given)
    with pytest.raises(ConfigError, match=rf"operator {kind} \(node v0\) has an unknown form"):
        read_encoder(made.model([2, 3, 8, 8]).SerializeToString())


def test_squeeze_and_concat_equal_onnx_runtime() -> None:
    made = ModelBuilder()
    first = made.add("GlobalAveragePool")
    made.add("Concat", first, axis=1)
    made.add("Squeeze", np.array([2, 3]))
    check_equal(made.build([2, 3, 8, 8]), 2, 3, 8, 8)


def test_flattening_by_computed_shape_is_read() -> None:
    made = ModelBuilder()
    before = made.last
    made.add("Shape")
    made.add("Gather", np.array(0), axis=0)
    made.add("Unsqueeze", np.array([0]))
    shape = made.add("Concat", np.array([-1]), axis=0)
    made.last = before
    made.add("Reshape", shape)
    made.add("Gemm", floats(3 * 8 * 8, 5), floats(1, 5))
    check_equal(made.build(["batch", 3, 8, 8]), 2, 3, 8, 8)


def test_unit_norm_by_expand_equals_onnx_runtime() -> None:
    made = ModelBuilder()
    before = made.add("Flatten")
    shape = made.add("Shape")
    made.last = before
    made.add("ReduceL2", axes=[1], keepdims=1)
    norm = made.add("Expand", shape)
    made.last = before
    made.add("Div", norm)
    check_equal(made.build(["batch", 3, 8, 8]), 2, 3, 8, 8)


def test_squeeze_without_axes_keeps_the_batch() -> None:
    made = ModelBuilder()
    made.add("GlobalAveragePool")
    made.add("Squeeze")
    check_equal(made.build([2, 3, 8, 8]), 2, 3, 8, 8)


def test_constant_node_is_read() -> None:
    made = ModelBuilder()
    value = onnx.numpy_helper.from_array(floats(3, 1, 1))
    made.nodes.append(helper.make_node("Constant", [], ["shift"], value=value))
    made.add("Add", "shift")
    check_equal(made.build(["batch", 3, 8, 8]), 2, 3, 8, 8)


def test_fixed_batch_becomes_dynamic() -> None:
    model = encoder_model(shape=[1, 3, 112, 112])
    module = read_encoder(model.SerializeToString())
    assert module(torch.zeros(3, 3, 112, 112)).shape == (3, 32)


def test_unsupported_operator_is_named() -> None:
    made = ModelBuilder()
    made.add("Floor")
    with pytest.raises(ConfigError, match=r"mine\.onnx: operator Floor \(node v0\) is not support"):
        read_encoder(made.build([1, 3, 8, 8]).SerializeToString(), "mine.onnx")


def test_computed_shape_is_refused() -> None:
    made = ModelBuilder()
    made.nodes.append(helper.make_node("Neg", ["chip"], ["kernel"]))
    made.add("Conv", "kernel")
    with pytest.raises(ConfigError, match="operand kernel is computed at run time"):
        read_encoder(made.build([1, 3, 8, 8]).SerializeToString())


def test_file_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"photo\.onnx: not an ONNX file"):
        read_encoder(b"\xff\xd8\xff\xe0junk", "photo.onnx")
