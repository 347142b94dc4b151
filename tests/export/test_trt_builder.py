"""The builder with the signatures of each TensorRT version, and with TensorRT for RTX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from calibration.int8.graph import insert_qdq, plan_quantization
from calibration.int8.legacy import entropy_calibrator
from calibration.int8.quantize import collect_histograms
from calibration.int8.ranges import minmax
from edge.bundle import DETECTOR_SIZES, detector_network, onnx_file
from edge.errors import ConfigError, EngineError
from edge.face.embed import OUTPUTS
from export.trt_builder import BuildOptions, build_plan, strongly_typed
from tests.tensorrt.fakes import FakeCuda, fake_tensorrt
from tests.tensorrt.table import TABLE, load, read

VERSIONS = sorted(load())
OLD = [v for v in VERSIONS if v.startswith(("8.", "10."))]
NEW = [v for v in VERSIONS if v not in OLD]


def flags_of(plan: bytes) -> list[str]:
    return json.loads(plan)["flags"]  # type: ignore[no-any-return]


def test_api_table_versions() -> None:
    assert VERSIONS == ["10.13.3.9", "10.3.0", "11.4.0.106", "8.6.0", "rtx 1.7.1.116"]


@pytest.mark.shared
def test_the_table_is_what_the_real_bindings_have(shared: Path) -> None:
    assert read(shared.parent / "tensorrt") == json.loads(TABLE.read_text())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_version_builds_every_precision(
    version: str, precision: Any, bundle_path: Path, tmp_path: Path
) -> None:
    trt = fake_tensorrt(version)
    model = bundle_path / onnx_file("embedder", precision)
    cache = tmp_path / "cache"
    built = build_plan(trt, model, BuildOptions(precision, (1, 2, 4), timing_cache=cache))
    assert strongly_typed(trt) == (version in NEW)
    wanted = (
        {"fp32": [], "fp16": ["FP16"], "int8": ["INT8", "FP16"]}[precision]
        if version in OLD
        else []
    )
    assert list(built.flags) == wanted and set(wanted) <= set(flags_of(built.plan))
    assert ("PREFER_PRECISION_CONSTRAINTS" in flags_of(built.plan)) == bool(wanted)
    assert json.loads(built.plan)["profile"] == [[[n, 3, 112, 112] for n in (1, 2, 4)]]
    assert built.tensors[0].shape == (-1, 3, 112, 112)
    assert [t.name for t in built.tensors[1:]] == list(OUTPUTS)
    assert cache.read_bytes() == b"timings"
    cache.write_bytes(b"of another device")
    build_plan(trt, model, BuildOptions(precision, (1, 2, 4), timing_cache=cache))
    assert cache.read_bytes() == b"timings"


@pytest.mark.parametrize("version", VERSIONS)
def test_static_shapes_need_no_profile(version: str, bundle_path: Path) -> None:
    built = build_plan(
        fake_tensorrt(version), bundle_path / "embedder.onnx", BuildOptions("fp32", (4, 4, 4))
    )
    assert json.loads(built.plan)["profile"] == [] and built.tensors[0].shape == (4, 3, 112, 112)
    detector = build_plan(
        fake_tensorrt(version), bundle_path / "detector-320x256.onnx", BuildOptions("fp32")
    )
    assert detector.tensors[0].shape == (1, 3, 256, 320)
    with pytest.raises(EngineError, match="for batches of 1, the options ask for 1 to 4"):
        build_plan(
            fake_tensorrt(version),
            bundle_path / "detector-320x256.onnx",
            BuildOptions("fp32", (1, 1, 4)),
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_names_the_node(version: str, tmp_path: Path, bundle_path: Path) -> None:
    model = onnx.load(bundle_path / "detector-320x256.onnx")
    model.graph.node.append(helper.make_node("NonMaxSuppression", ["a", "b"], ["kept"], "suppress"))
    onnx.save(model, tmp_path / "with-nms.onnx")
    with pytest.raises(
        EngineError, match=f"node {len(model.graph.node) - 1}.*No importer"
    ) as refused:
        build_plan(fake_tensorrt(version), tmp_path / "with-nms.onnx", BuildOptions("fp32"))
    assert ("suppress (NonMaxSuppression)" in str(refused.value)) == (not version.startswith("8."))


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_that_a_dla_cannot_run_are_listed(version: str, bundle_path: Path) -> None:
    options = BuildOptions("fp16", (2, 2, 2), dla_core=1)
    built = build_plan(fake_tensorrt(version), bundle_path / "embedder-fp16.onnx", options)
    assert any("Softmax" in name for name in built.off_dla) and "GPU_FALLBACK" in built.flags
    with pytest.raises(EngineError, match="expected DLA core 2, this device has 2"):
        build_plan(
            fake_tensorrt(version),
            bundle_path / "embedder-fp16.onnx",
            BuildOptions("fp16", (2, 2, 2), dla_core=2),
        )


def test_options_that_cannot_be_are_refused() -> None:
    for options, part in (
        ({"batch": (2, 1, 4)}, "least <= best <= largest"),
        ({"batch": (1, 1, 4), "dla_core": 0}, "static shapes"),
        ({"precision": "fp32", "dla_core": 0}, "fp16 or int8"),
    ):
        with pytest.raises(ConfigError, match=part):
            BuildOptions(**{"precision": "fp16", **options})


@pytest.mark.parametrize("version", VERSIONS)
def test_other_gpus_are_built_for_by_rtx_alone(version: str, bundle_path: Path) -> None:
    def build(capability: str) -> bytes:
        options = BuildOptions("fp32", compute_capability=capability)
        return build_plan(
            fake_tensorrt(version), bundle_path / "detector-320x256.onnx", options
        ).plan

    if version.startswith("rtx"):
        assert build("8.6")
        with pytest.raises(ConfigError, match="found SM87"):
            build("8.7")
    else:
        with pytest.raises(ConfigError, match="builds for this machine's GPU only"):
            build("8.6")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_entropy_calibrator_exists_up_to_10(
    version: str, bundle_path: Path, tmp_path: Path
) -> None:
    trt, cuda, cache = fake_tensorrt(version), FakeCuda(), tmp_path / "ranges"
    primary = cuda.Device(0).retain_primary_context()
    primary.push()
    inputs = np.zeros((20, 3, 112, 112), np.float32)
    if version in NEW:
        with pytest.raises(EngineError, match="has no calibrators"):
            entropy_calibrator(trt, cuda, inputs, cache)
        return
    calibrator = entropy_calibrator(trt, cuda, inputs, cache)
    assert calibrator.get_batch_size() == 8 and calibrator.read_calibration_cache() is None
    options = BuildOptions("int8", (1, 8, 8), calibrator=calibrator)
    assert list(build_plan(trt, bundle_path / "embedder.onnx", options).flags) == ["INT8", "FP16"]
    assert calibrator.read_calibration_cache() == b"ranges"
    with pytest.raises(EngineError, match="at least 8 chips"):
        entropy_calibrator(trt, cuda, inputs[:3], cache)


# Uses the real library: TensorRT for RTX builds without a GPU; what it builds cannot be run here.


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install 'mfsa-edge[rtx]'"
    )


@pytest.mark.parametrize(
    "network", ["embedder", *(detector_network(size) for size in DETECTOR_SIZES)]
)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_rtx_builds_the_networks(
    rtx: Any, network: str, precision: Any, bundle_path: Path, tmp_path: Path
) -> None:
    model = bundle_path / onnx_file(network, precision)
    if not model.is_file():  # the detector's INT8 form is no part of a bundle
        model = int8_detector(bundle_path / onnx_file(network), tmp_path / "int8.onnx")
    batch = (1, 1, 4) if network == "embedder" else (1, 1, 1)
    built = build_plan(rtx, model, BuildOptions(precision, batch, compute_capability="8.6"))
    assert len(built.plan) > 100_000 and built.tensors[0].dtype == "float" and built.flags == ()


def int8_detector(source: Path, out: Path) -> Path:
    model = onnx.load(source)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    frame = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    ranges = {
        n: minmax(h)
        for n, h in collect_histograms(
            model, plan_quantization(model).activations(), [frame]
        ).items()
    }
    onnx.save(insert_qdq(model, ranges), out)
    return out


def test_rtx_int8_uses_fp16_elsewhere(rtx: Any, bundle_path: Path) -> None:
    model = bundle_path / onnx_file("embedder", "int8", fp16_scales=True)
    assert build_plan(rtx, model, BuildOptions("int8", (1, 1, 4), compute_capability="8.6")).plan


def test_what_rtx_refuses_is_named(rtx: Any, bundle_path: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle_path / "detector-320x256.onnx")
    model.graph.node[3].op_type, model.graph.node[3].name = "NoSuchLayer", "wrong"
    (tmp_path / "wrong.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(EngineError, match=r"node 3 wrong \(NoSuchLayer\)"):
        build_plan(rtx, tmp_path / "wrong.onnx", BuildOptions("fp32", compute_capability="8.6"))
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(EngineError, match="refuses it"):
        build_plan(rtx, tmp_path / "junk.onnx", BuildOptions("fp32", compute_capability="8.6"))
