from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.int8.graph import insert_qdq, plan_quantization, quantise_weight
from calibration.int8.quantize import collect_histograms
from calibration.int8.ranges import LEVELS, minmax
from edge.chip import to_input
from edge.engine import open_engine
from edge.errors import EngineError
from export import detector
from export.bundle import reference_bundle
from export.parity_data import portrait_chips
from tests.bundles import FLOAT_LAYERS


@pytest.fixture(scope="module")
def embedder() -> onnx.ModelProto:
    return onnx.load(reference_bundle() / "embedder.onnx")


def small() -> onnx.ModelProto:
    """x -> a -> b -> (b + a) -> PRelu -> c, with a gate sigmoid(g(a)) as second output."""
    rng = np.random.default_rng(0)

    def conv(name: str, taken: str, out: int, into: int) -> onnx.NodeProto:
        weights.append(
            numpy_helper.from_array(
                rng.normal(0, 0.3, (out, into, 1, 1)).astype(np.float32), f"{name}.w"
            )
        )
        weights.append(
            numpy_helper.from_array(rng.normal(0, 0.1, out).astype(np.float32), f"{name}.b")
        )
        return helper.make_node("Conv", [taken, f"{name}.w", f"{name}.b"], [name], name)

    weights = [numpy_helper.from_array(np.full((4, 1, 1), 0.2, np.float32), "slope")]
    nodes = [
        conv("a", "x", 4, 3),
        conv("b", "a", 4, 4),
        helper.make_node("Add", ["b", "a"], ["sum"], "add"),
        helper.make_node("PRelu", ["sum", "slope"], ["bent"], "prelu"),
        conv("c", "bent", 2, 4),
        conv("g", "a", 1, 4),
        helper.make_node("Sigmoid", ["g"], ["gate"], "sigmoid"),
    ]
    shapes = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, 5, 5])
        for n, c in (("x", 3), ("c", 2), ("gate", 1))
    ]
    graph = helper.make_graph(nodes, "small", shapes[:1], shapes[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_places_are_those_that_tensorrt_fuses() -> None:
    places = plan_quantization(small())
    assert [layer.name for layer in places.layers] == ["a", "b", "c"] and places.gates == ("g",)
    assert places.residuals == {"add": "a"}  # not b, which the Add is fused with
    assert places.activations() == ["x", "a", "bent"]
    assert places.activations(["b", "add", "c"]) == ["x"]


def test_qdq_pairs_precede_layers_and_residuals() -> None:
    ranges = {"x": 3.0, "a": 2.0, "bent": 2.0}
    graph = insert_qdq(small(), ranges).graph
    by_name = {node.name: node for node in graph.node}
    assert list(by_name["add"].input) == ["b", "a_dequantised"]
    assert list(by_name["prelu"].input) == ["sum", "slope"]
    assert list(by_name["g"].input) == ["a", "g.w", "g.b"]
    assert [list(by_name[n].input)[:2] for n in "abc"] == [
        ["x_dequantised", "a.w_dequantised"],
        ["a_dequantised", "b.w_dequantised"],
        ["bent_dequantised", "c.w_dequantised"],
    ]
    stored = {t.name: t for t in graph.initializer}
    assert (
        stored["b.w_int8"].data_type == TensorProto.INT8
        and stored["b.b"].data_type == TensorProto.FLOAT
    )
    assert numpy_helper.to_array(stored["a_scale"]) == np.float32(2.0 / LEVELS)
    assert all(
        not numpy_helper.to_array(t).any() for name, t in stored.items() if "zero_point" in name
    )


def test_what_is_left_in_float_is_left_alone() -> None:
    graph = insert_qdq(small(), {"x": 3.0}, ["b", "c", "add"]).graph
    assert [n.name for n in graph.node if n.op_type == "QuantizeLinear"] == ["x_quantise"]


def test_a_range_must_have_been_measured() -> None:
    with pytest.raises(EngineError, match="bent: expected a range above 0"):
        insert_qdq(small(), {"x": 1.0, "a": 1.0})
    with pytest.raises(EngineError, match="a: expected a range above 0, found 0"):
        insert_qdq(small(), {"x": 1.0, "a": 0.0, "bent": 1.0})


def test_quantised_network_is_refused() -> None:
    with pytest.raises(EngineError, match="quantised already"):
        plan_quantization(insert_qdq(small(), {"x": 1.0, "a": 1.0, "bent": 1.0}))


def test_weights_keep_their_channels_apart() -> None:
    weight = np.array([[0.1, -0.2], [10, 5], [0, 0]], np.float32)
    values, scale = quantise_weight(weight, 0)
    assert (
        values.dtype == np.int8
        and values.max() == 127
        and np.allclose(values * scale[:, None], weight, atol=scale.max() / 2)
    )
    other, scale = quantise_weight(weight.T, 1)
    assert (other == values.T).all() and len(scale) == 3


def test_quantised_embedder_is_small_and_close(embedder: onnx.ModelProto, tmp_path: Path) -> None:
    chips = portrait_chips()
    ranges = {
        n: minmax(h)
        for n, h in collect_histograms(
            embedder, plan_quantization(embedder).activations(), [to_input(chips)]
        ).items()
    }
    result = insert_qdq(embedder, ranges, FLOAT_LAYERS)
    onnx.save(result, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * (
        reference_bundle() / "embedder.onnx"
    ).stat().st_size
    found, wanted = (
        open_engine(path, threads=1).run(to_input(chips))["embedding"]
        for path in (tmp_path / "int8.onnx", reference_bundle() / "embedder.onnx")
    )
    cosine = (
        (found * wanted).sum(axis=1)
        / np.linalg.norm(found, axis=1)
        / np.linalg.norm(wanted, axis=1)
    )
    assert cosine.min() > 0.97
    gates = plan_quantization(embedder).gates
    assert len(gates) == 6 and sum("attention" in name for name in gates) == 2


def test_the_detector_can_be_quantised_too(collins: np.ndarray, tmp_path: Path) -> None:
    model = onnx.load_from_string(detector.fix_input_shape(detector.read_detector(), "320x256"))
    import cv2

    frame = np.ascontiguousarray(
        cv2.resize(collins, (320, 256)).transpose(2, 0, 1)[None], np.float32
    )
    ranges = {
        n: minmax(h)
        for n, h in collect_histograms(
            model, plan_quantization(model).activations(), [frame]
        ).items()
    }
    onnx.save(insert_qdq(model, ranges), tmp_path / "int8.onnx")
    outputs = open_engine(tmp_path / "int8.onnx", threads=1).run(frame)
    (tmp_path / "fp32.onnx").write_bytes(model.SerializeToString())
    wanted = open_engine(tmp_path / "fp32.onnx", threads=1).run(frame)
    best = {
        name: int(out["obj_32"][0, :, 0].argmax())
        for name, out in (("int8", outputs), ("fp32", wanted))
    }
    assert best["int8"] == best["fp32"] and np.isfinite(outputs["kps_8"]).all()
