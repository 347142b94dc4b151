from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from calibration.int8.graph import insert_qdq, plan_quantization
from calibration.int8.quantize import collect_histograms
from calibration.int8.ranges import minmax
from edge.chip import to_input
from edge.engine import open_engine
from edge.errors import EngineError
from export.bundle import reference_bundle
from export.onnx_transforms import to_fp16, widen_to_fp32, with_batch
from export.parity import check_parity, compare_outputs, run_chips
from export.parity_data import portrait_chips
from tests.bundles import FLOAT_LAYERS


@pytest.fixture(scope="module")
def embedder() -> onnx.ModelProto:
    return onnx.load(reference_bundle() / "embedder.onnx")


def outputs(model: onnx.ModelProto, path: Path, chips: np.ndarray) -> dict[str, np.ndarray]:
    onnx.save(model, path)
    return run_chips(open_engine(path, threads=1), to_input(chips))


def test_fp16_keeps_softmax_and_ends_in_float(embedder: onnx.ModelProto, tmp_path: Path) -> None:
    half, chips = to_fp16(embedder), portrait_chips()
    kinds = {t.name: t.data_type for t in half.graph.initializer}
    assert TensorProto.FLOAT16 in kinds.values() and TensorProto.FLOAT not in kinds.values()
    assert {v.type.tensor_type.elem_type for v in (*half.graph.input, *half.graph.output)} == {
        TensorProto.FLOAT
    }
    softmax = next(node for node in half.graph.node if node.op_type == "Softmax")
    cast = next(node for node in half.graph.node if softmax.input[0] in node.output)
    assert cast.op_type == "Cast" and cast.attribute[0].i == TensorProto.FLOAT
    wanted = outputs(embedder, tmp_path / "fp32.onnx", chips)
    parity = compare_outputs(outputs(half, tmp_path / "fp16.onnx", chips), wanted)
    assert (
        parity.min_cosine > 0.9999
        and (tmp_path / "fp16.onnx").stat().st_size < 0.6 * (tmp_path / "fp32.onnx").stat().st_size
    )
    assert {p.key for p in half.metadata_props} == {p.key for p in embedder.metadata_props}


def test_int8_with_the_rest_in_half_precision(embedder: onnx.ModelProto, tmp_path: Path) -> None:
    chips = portrait_chips()[:6]
    ranges = {
        n: minmax(h)
        for n, h in collect_histograms(
            embedder, plan_quantization(embedder).activations(), [to_input(chips)]
        ).items()
    }
    mixed = to_fp16(insert_qdq(embedder, ranges, FLOAT_LAYERS))
    assert mixed.opset_import[0].version == 19  # Q/DQ with half-precision scales
    scales = {node.input[1] for node in mixed.graph.node if node.op_type == "QuantizeLinear"}
    assert {t.data_type for t in mixed.graph.initializer if t.name in scales} == {
        TensorProto.FLOAT16
    }
    assert {p.key for p in mixed.metadata_props} == {p.key for p in embedder.metadata_props}
    wanted = outputs(embedder, tmp_path / "fp32.onnx", chips)
    wide = widen_to_fp32(mixed)  # old ONNX Runtimes compute half-precision Q/DQ coarsely
    assert TensorProto.FLOAT16 not in {t.data_type for t in wide.graph.initializer}
    assert compare_outputs(outputs(wide, tmp_path / "wide.onnx", chips), wanted).min_cosine > 0.95


def test_a_batch_can_be_fixed_once(embedder: onnx.ModelProto, tmp_path: Path) -> None:
    fixed, chips = with_batch(embedder, 4), portrait_chips()[:4]
    assert [o.type.tensor_type.shape.dim[0].dim_value for o in fixed.graph.output] == [4] * 4
    onnx.save(fixed, tmp_path / "four.onnx")
    expected = run_chips(
        open_engine(reference_bundle() / "embedder.onnx", threads=1), to_input(chips)
    )
    assert check_parity(tmp_path / "four.onnx", chips, expected).is_rounding_only
    with pytest.raises(EngineError, match="inference failed"):
        run_chips(open_engine(tmp_path / "four.onnx", threads=1), to_input(chips[:3]))
    with pytest.raises(EngineError, match="fixed to 4 already"):
        with_batch(fixed, 2)
