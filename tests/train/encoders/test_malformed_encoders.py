"""Malformed and hostile ONNX files: each is refused in one line, with bounded memory."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ConfigError
from tests.train.encoders.onnx_models import ModelBuilder, encoder_model
from train.encoders.onnx_to_torch import read_encoder

Damage = Callable[[onnx.ModelProto], object]


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Fail a test whose process grows by more than a quarter of a GiB."""
    read_encoder(encoder_model().SerializeToString())  # torch loads modules on first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


def refusal(model: onnx.ModelProto | bytes) -> str:
    """Return the message of a file that must be refused."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ConfigError) as caught:
        read_encoder(content, "mine.onnx")
    message = str(caught.value)
    assert message.startswith("mine.onnx: ") and message.isprintable() and len(message) < 500
    return message


def node(model: onnx.ModelProto, index: int) -> onnx.NodeProto:
    return model.graph.node[index]


def weight(model: onnx.ModelProto, index: int) -> onnx.TensorProto:
    return model.graph.initializer[index]


def add_constant(model: onnx.ModelProto, value: object, name: str = "extra") -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    return name


def add_first(model: onnx.ModelProto, kind: str, inputs: list[str], **given: Any) -> None:
    model.graph.node.insert(0, helper.make_node(kind, inputs, ["added"], "added", **given))


def in_cycle(model: onnx.ModelProto) -> None:
    node(model, 0).input[0] = node(model, 4).output[0]


def with_newlines(model: onnx.ModelProto) -> None:
    node(model, 0).input[0] = "a\nb\x1b[2Jc" * 1000


def with_sparse_constant(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [5])
    add_first(
        model, "Constant", [], sparse_value=helper.make_sparse_tensor(values, places, [10**11])
    )


def with_sparse_weights(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("i", TensorProto.INT64, [1], [5])
    sparse = helper.make_sparse_tensor(values, places, [10**11])
    model.graph.sparse_initializer.append(sparse)


def with_function(model: onnx.ModelProto) -> None:
    made = helper.make_function("mine", "F", ["x"], ["x"], [], [helper.make_opsetid("", 17)])
    model.functions.append(made)


def with_domain(model: onnx.ModelProto) -> None:
    node(model, 0).domain = "example"


def with_strings(model: onnx.ModelProto) -> None:
    weight(model, 0).CopyFrom(helper.make_tensor(weight(model, 0).name, 8, [2], ["a", "b"]))


def with_old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 6


def with_huge_empty_weight(model: onnx.ModelProto) -> None:
    weight(model, 0).CopyFrom(helper.make_tensor(weight(model, 0).name, 1, [10**11, 0, 2, 2], []))


def with_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend([node(model, 1)] * 20_000)


def with_many_copies(model: onnx.ModelProto) -> None:
    add_constant(model, np.zeros((32, 2**14), np.float32))
    name = node(model, -1).output[0]
    for i in range(500):
        model.graph.node.append(helper.make_node("MatMul", [name, "extra"], [f"copy{i}"]))


def with_growing_features(model: onnx.ModelProto) -> None:
    name = "chip"
    for i in range(60):
        model.graph.node.append(helper.make_node("Concat", [name, name], [f"twice{i}"], axis=1))
        name = f"twice{i}"


def with_wide_padding(model: onnx.ModelProto) -> None:
    add_first(model, "Pad", ["chip", add_constant(model, [0, 0, 10**6, 10**6, 0, 0, 0, 0])])


def with_wide_average(model: onnx.ModelProto) -> None:
    add_first(model, "AveragePool", ["chip"], kernel_shape=[2, 2], pads=[10**6, 10**6, 0, 0])


def with_huge_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40


DAMAGES: list[tuple[Damage, str]] = [
    (in_cycle, "is used before it is computed"),
    (with_newlines, "tensor a b.*is used before it is computed|tensor a b"),
    (lambda m: m.graph.initializer.pop(0), "is missing; export the model again"),
    (lambda m: m.graph.initializer.pop(3), "is missing; export the model again"),
    (lambda m: m.graph.initializer.append(weight(m, 0)), "w0 is computed twice"),
    (lambda m: m.graph.node.append(node(m, 3)), "v3 is computed twice"),
    (lambda m: m.graph.output.pop(), "the graph has no output"),
    (lambda m: m.graph.input.pop(), "the graph has no input"),
    (lambda m: node(m, 1).input.pop(), "not a valid ONNX graph"),
    (lambda m: node(m, 0).output.pop(), "is used before it is computed"),
    (lambda m: weight(m, 0).dims.__setitem__(0, 9), "not a valid ONNX graph"),
    (lambda m: weight(m, 0).dims.__setitem__(0, -1), r"has the sizes \[-1, "),
    (lambda m: weight(m, 0).dims.__setitem__(0, 2**62), "not a valid ONNX graph"),
    (with_huge_empty_weight, r"has the sizes \[100000000000, 0, 2, 2\]"),
    (with_strings, "expected numbers"),
    (with_domain, "operator Conv .* of the domain example is not supported"),
    (with_old_opset, "opset 6 is not supported; export it with opset 7 or later"),
    (lambda m: m.opset_import.pop(), "opset unknown is not supported"),
    (with_function, "functions are not supported"),
    (with_sparse_weights, "sparse weights are not supported"),
    (with_sparse_constant, "operator Constant .*: sparse tensors are not supported"),
    (with_nodes, "nodes, at most 20000 are supported"),
    (with_many_copies, r"its weights need more than \d+ MiB"),
    (with_growing_features, "its features have more than 134,217,728 values"),
    (with_wide_padding, "its features have more than 134,217,728 values"),
    (with_wide_average, r"its weights need more than \d+ MiB"),
    (with_huge_input, "its features have more than 134,217,728 values"),
]


@pytest.mark.parametrize(("damage", "part"), DAMAGES)
def test_malformed_graph_is_refused(damage: Damage, part: str) -> None:
    model = encoder_model()
    damage(model)
    message = refusal(model)
    assert re.search(part, message), message


HUGE: list[tuple[str, list[object], dict[str, Any], str]] = [
    ("ConstantOfShape", [[10**6, 10**5]], {}, r"weights need more than \d+ MiB"),
    ("Expand", [np.float32(1), [10**6, 10**5]], {}, r"weights need more than \d+ MiB"),
    (
        "Gather",
        [np.zeros((2, 9000)), np.zeros(9000, np.int64)],
        {},
        r"weights need more than \d+ MiB",
    ),
    ("Add", [np.zeros((9000, 1)), np.zeros((1, 9000))], {}, r"weights need more than \d+ MiB"),
    ("ConstantOfShape", [[-1, 10**11]], {}, "unknown form: its operand is not a shape"),
    ("ConstantOfShape", [[2] * 70], {}, "unknown form: its operand is not a shape"),
    ("Cast", [np.float32([1])], {"to": TensorProto.STRING}, "its result is not a number"),
    ("Tile", [np.float32([1]), [10**11]], {}, "operator Tile .* is not supported"),
    ("Range", [0, 10**11, 1], {}, "operator Range .* is not supported"),
    ("RandomNormal", [], {"shape": [10**6, 10**5]}, "operator RandomNormal .* is not supported"),
    ("RandomUniform", [], {"shape": [3]}, "operator RandomUniform .* is not supported"),
    ("ImageDecoder", [np.zeros(9, np.uint8)], {}, "operator ImageDecoder .* is not supported"),
    ("Sigmoid", [np.float32([1])], {}, "operator Sigmoid .* of constants is not supported"),
]


@pytest.mark.parametrize(("kind", "operands", "given", "part"), HUGE)
def test_folding_is_bounded(
    kind: str, operands: list[object], given: dict[str, Any], part: str
) -> None:
    model = encoder_model()
    names = [add_constant(model, value, f"c{i}") for i, value in enumerate(operands)]
    add_first(model, kind, names, **given)
    message = refusal(model)
    assert re.search(part, message), message


@pytest.mark.parametrize("kind", ["Loop", "If", "Scan"])
def test_subgraph_of_constants_is_refused(kind: str) -> None:
    model = encoder_model()
    body = helper.make_graph([], "body", [], [])
    for _ in range(8):
        inner = helper.make_node("If", ["c"], ["x"], then_branch=body, else_branch=body)
        body = helper.make_graph([inner], "body", [], [])
    add_first(model, kind, [add_constant(model, True)], body=body)
    assert f"operator {kind} (node added) is not supported" in refusal(model)


def test_folded_weights_are_the_same_each_time() -> None:
    made = ModelBuilder()
    for kind, operands in (
        ("ConstantOfShape", [made.weight(np.array([3, 1, 1]))]),
        ("Add", ["f0", made.weight(np.float32([2]))]),
    ):
        made.nodes.append(helper.make_node(kind, operands, [f"f{len(made.nodes)}"]))
    made.add("Mul", "f1")
    content = made.build([1, 3, 8, 8]).SerializeToString()
    first, second = (dict(read_encoder(content).named_buffers()) for _ in range(2))
    assert first.keys() == second.keys() and len(first) == 1
    assert all((value == 2).all() for value in (*first.values(), *second.values()))


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_external_data_is_refused(place: str) -> None:
    model = encoder_model()
    tensor = weight(model, 0)
    if place == "constant":
        add_first(model, "Constant", [], value=tensor)
        tensor = node(model, 0).attribute[0].t
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    tensor.ClearField("raw_data")
    assert "its weights are in another file; save it as one file" in refusal(model)


def test_computed_sizes_run_few_operators() -> None:
    made = ModelBuilder()
    made.add("Shape")
    made.add("Range", np.array(10**11), np.array(1))
    assert "operator Range (node v1) is not supported" in refusal(made.model([1, 3, 8, 8]))


def test_flipped_bits_are_read_or_refused() -> None:
    made = ModelBuilder()
    made.conv((3, 4), stride=2)
    made.prelu(4)
    made.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    made.add("Slice", np.array([0]), np.array([2]), np.array([1]))
    made.add("Reshape", np.array([0, -1]))
    content = made.build([1, 3, 8, 8]).SerializeToString()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[at] ^= 1 << rng.integers(8)
        try:
            read_encoder(bytes(damaged), "mine.onnx")
        except ConfigError as error:
            refused += 1
            assert str(error).isprintable()
    assert refused > 20


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_file_that_is_cut_off_is_refused(share: float) -> None:
    content = encoder_model().SerializeToString()
    assert refusal(content[: int(len(content) * share)])
