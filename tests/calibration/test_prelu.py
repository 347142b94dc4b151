from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.prelu import has_prelu, join_prelu, split_prelu
from edge.engine import open_engine


def test_prelu_in_parts_computes_the_same(tmp_path: Path) -> None:
    slope = numpy_helper.from_array(np.array([[[0.1]], [[0.5]]], np.float32), "slope")
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, 3, 3]) for name in "xy"
    ]
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["x", "slope"], ["y"], "bend")],
        "g",
        shapes[:1],
        shapes[1:],
        [slope],
    )
    original = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    split = split_prelu(original)
    assert has_prelu(original) and not has_prelu(split)
    assert join_prelu(split) == original
    assert join_prelu(original) == original and split_prelu(split) == split
    x = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    found = []
    for name, model in (("original", original), ("split", split)):
        onnx.save(model, tmp_path / f"{name}.onnx")
        found.append(open_engine(tmp_path / f"{name}.onnx", threads=1).run(x)["y"])
    assert np.allclose(found[0], found[1], atol=1e-6)


def test_join_of_other_nodes_changes_nothing() -> None:
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in "xyz"]
    nodes = [
        helper.make_node("Relu", ["x"], ["above"]),
        helper.make_node("Neg", ["y"], ["turned"]),  # of another value than x
        helper.make_node("Relu", ["turned"], ["below"]),
        helper.make_node("Mul", ["below", "y"], ["leak"]),
        helper.make_node("Sub", ["above", "leak"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "g", value[:2], value[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert join_prelu(model) == model


def test_join_keeps_parts_that_others_read() -> None:
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in ("x", "y", "z")]
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),  # an output of the network
        helper.make_node("Neg", ["x"], ["turned"]),
        helper.make_node("Relu", ["turned"], ["below"]),
        helper.make_node("Mul", ["below", "slope"], ["leak"]),
        helper.make_node("Sub", ["y", "leak"], ["z"]),
    ]
    slope = numpy_helper.from_array(np.array([0.1, 0.5], np.float32), "slope")
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], [slope])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert join_prelu(model) == model
