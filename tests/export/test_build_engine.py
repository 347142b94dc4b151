"""Runs of `mfsa-build-engine`.

With TensorRT for RTX, and on a stand-in for a Jetson's GPU.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge.bundle import file_digest, open_bundle
from edge.chip import PREPROCESSING, to_input
from edge.engine.cuda import GpuDevice
from edge.engine.sidecar import PlanRequirements, read_sidecar
from edge.engine.trt import open_plan
from edge.errors import EngineError
from export.cli.build_engine import main
from export.parity_data import portrait_chips
from export.plans import PlanBuilder
from export.trt_builder import build_plan
from tests.bundles import EMBEDDING, INT8_CHIPS
from tests.tensorrt.fakes import FakeCuda, fake_tensorrt
from tests.tensorrt.table import load

ORIN = GpuDevice("Orin", "8.7", "R36.4.0", "NVIDIA Jetson Orin Nano Developer Kit")
PLANS = ["detector-320x256-fp16.plan", "detector-640x480-fp16.plan"]


@pytest.fixture
def bundle(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


@pytest.fixture(params=sorted(v for v in load() if not v.startswith("rtx")))
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fake machine with a GPU and this version of TensorRT."""
    trt = fake_tensorrt(request.param)
    monkeypatch.setattr("export.cli.build_engine.open_builder", lambda rtx: PlanBuilder(trt, ORIN))
    for module in ("export.plans", "export.cli.build_engine"):
        monkeypatch.setattr(f"{module}.import_pycuda", FakeCuda)
    return trt


def plans(bundle: Path) -> list[str]:
    return sorted(
        path.name
        for path in bundle.iterdir()
        if ".plan" in path.name and not path.name.endswith(".json")
    )


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_engines_are_built_compared_and_opened(
    device: Any, precision: str, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle), "--precision", precision]) == 0
    assert capsys.readouterr().out.count("passed on") == 3
    assert plans(bundle) == [*PLANS, f"embedder-{precision}.plan"]
    sidecar = read_sidecar(bundle / f"embedder-{precision}.plan")
    assert (
        sidecar.verdict is not None
        and sidecar.verdict.passed
        and sidecar.verdict.figures["min_cosine"] > 0.98
    )
    assert (
        sidecar.gpu == "Orin"
        and sidecar.tensorrt == device.__version__
        and sidecar.batch == (1, 1, 4)
    )
    assert (sidecar.calibration == INT8_CHIPS) == (precision == "int8")
    engine = opened(bundle, precision, device)
    assert engine.run(to_input(portrait_chips()[:5]))["embedding"].shape == (5, EMBEDDING)


def opened(path: Path, precision: Any, trt: Any) -> Any:
    """The embedder as `edge.recogniser.networks` opens it."""
    bundle = open_bundle(path, PREPROCESSING)
    wanted = PlanRequirements(
        "embedder",
        precision,
        bundle.digest("embedder"),
        bundle.plan_sources("embedder", precision),
        bundle.calibration(precision).embedder,
    )
    plan = path / f"embedder-{precision}.plan"
    return open_plan(plan, wanted, device=lambda: ORIN, tensorrt=lambda: trt, pycuda=FakeCuda)


def test_engine_of_other_int8_file_is_refused(device: Any, bundle: Path) -> None:
    """The digest of the INT8 file alone shows that a plan is outdated.

    The FP32 network is unchanged by a new quantisation.
    """
    assert main([str(bundle), "--network", "embedder", "--precision", "int8"]) == 0
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in ("embedder-int8.onnx", "embedder-int8-fp16.onnx"):
        model = onnx.load(bundle / name)
        model.doc_string = "quantised again"
        onnx.save(model, bundle / name)
        entry = manifest["files"][name]
        entry["sha256"] = entry["verdict"]["judged"] = file_digest(bundle / name)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EngineError, match="the thresholds are not its own"):
        opened(bundle, "int8", device)


def test_a_wrong_engine_is_not_kept(
    device: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle), "--network", "embedder"]) == 0
    good = (bundle / "embedder-fp16.plan").read_bytes(), read_sidecar(bundle / "embedder-fp16.plan")
    real = build_plan

    def compiled_wrong(trt: Any, model: Path, options: Any) -> Any:
        """Swap the colour channels, which no digest detects."""
        wrong = onnx.load(model)
        first = next(node for node in wrong.graph.node if node.op_type == "Conv")
        weight = next(tensor for tensor in wrong.graph.initializer if tensor.name == first.input[1])
        weight.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(weight)[:, ::-1].copy(), weight.name)
        )
        onnx.save(wrong, bundle.parent / "wrong.onnx")
        return real(trt, bundle.parent / "wrong.onnx", options)

    monkeypatch.setattr("export.plans.build_plan", compiled_wrong)
    assert main([str(bundle), "--network", "embedder"]) == 1
    assert "the parity gate refused it: its colour channels are swapped" in capsys.readouterr().err
    # The earlier plan that passed is still there, complete.
    assert (
        (bundle / "embedder-fp16.plan").read_bytes(),
        read_sidecar(bundle / "embedder-fp16.plan"),
    ) == good
    assert not list(bundle.glob(".*"))


def test_a_site_s_chips_are_compared_too(
    device: Any,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "site" / "p").mkdir(parents=True)
    for i, chip in enumerate(portrait_chips()[:5]):
        cv2.imwrite(str(tmp_path / "site" / "p" / f"{i}.png"), chip)
    assert main([str(bundle), "--network", "embedder", "--chips", str(tmp_path / "site")]) == 0
    assert f"passed on {len(portrait_chips()) + 5} samples" in capsys.readouterr().out
    assert main([str(bundle), "--network", "embedder", "--chips", str(tmp_path / "none")]) == 2


def test_the_calibrator_where_there_is_one(
    device: Any, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site" / "p").mkdir(parents=True)
    for i, chip in enumerate(portrait_chips()[:9]):
        cv2.imwrite(str(tmp_path / "site" / "p" / f"{i}.png"), chip)
    command = [
        str(bundle),
        "--network",
        "embedder",
        "--precision",
        "int8",
        "--calibrate",
        str(tmp_path / "site"),
    ]
    has = hasattr(device, "IInt8EntropyCalibrator2")
    assert main(command) == (0 if has else 1)
    if has:
        assert len(list(bundle.glob("*.calibration"))) == 1
        sidecar = read_sidecar(bundle / "embedder-int8.plan")
        assert sidecar.calibration != INT8_CHIPS
        assert sidecar.onnx == file_digest(bundle / "embedder-prelu.onnx")
        assert sidecar.reference == file_digest(bundle / "embedder.onnx")
        with pytest.raises(EngineError, match="measure them with mfsa-threshold --bundle --plan"):
            opened(bundle, "int8", device)
    else:
        assert "has no calibrators; remove --calibrate" in capsys.readouterr().err
    assert main([*command[:3], "--calibrate", str(tmp_path / "site")]) == 2


def test_dla_plans_list_what_falls_back(
    device: Any, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle), "--network", "embedder", "--dla", "0", "--batch", "2"]) == 0
    assert "runs on the GPU, not on the DLA: " in capsys.readouterr().out
    sidecar = read_sidecar(bundle / "embedder-fp16.plan")
    assert sidecar.dla_core == 0 and sidecar.off_dla and sidecar.batch == (2, 2, 2)


def test_rtx_build_without_gpu_is_not_compared(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install 'mfsa-edge[rtx]'"
    )
    assert main([str(bundle), "--rtx", "--compute-capability", "8.6", "--precision", "int8"]) == 0
    assert capsys.readouterr().out.count("NOT compared with the FP32 network") == 3
    assert plans(bundle) == [f"rtx-{name}" for name in (*PLANS, "embedder-int8.plan")]
    sidecar = read_sidecar(bundle / "rtx-embedder-int8.plan")
    assert sidecar.verdict is None and sidecar.builder == "tensorrt_rtx"
    assert sidecar.onnx == file_digest(bundle / "embedder-int8-fp16.onnx")


def test_without_a_gpu_there_is_a_sentence(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle)]) == 1
    message = capsys.readouterr().err
    assert "no NVIDIA driver here" in message or "the NVIDIA driver" in message
    assert "Traceback" not in message and plans(bundle) == []


def test_command_wrong_arguments_are_refused(
    bundle: Path, tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install 'mfsa-edge[rtx]'"
    )
    rtx = ["--rtx", "--compute-capability", "8.6"]
    for arguments, part in (
        ([str(bundle), "--compute-capability", "8.6"], "only with --rtx"),
        ([str(bundle), *rtx[:2], "8.7"], "found SM87"),
        ([str(bundle), *rtx, "--batch", "0"], "least <= best <= largest"),
        ([str(bundle), *rtx, "--calibrate", str(tmp_path)], "only with --precision int8"),
        ([str(bundle), *rtx, "--workspace", "0"], "at least 1 MiB"),
        (
            [str(bundle), *rtx, "--timing-cache", str(tmp_path / "none" / "cache")],
            "its folder does not exist",
        ),
        ([str(tmp_path / "none"), *rtx], "no model bundle found"),
    ):
        assert main(arguments) in (1, 2)
        message = capsys.readouterr().err
        assert part in message and "Traceback" not in message
    # A bundle whose manifest names a form that the gate refused builds nothing of it.
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["embedder-int8-fp16.onnx"]["verdict"]["passed"] = False
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert main([str(bundle), *rtx, "--precision", "int8", "--network", "embedder"]) == 1
    assert "the parity gate refused it" in capsys.readouterr().err
    assert np.array_equal(plans(bundle), [])
