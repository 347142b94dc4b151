from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from calibration.cli.quantize import main
from calibration.int8 import quantize
from calibration.int8.graph import plan_quantization
from calibration.int8.quantize import (
    FallbackStep,
    Fidelity,
    QuantizationSearch,
    collect_histograms,
    select_ranges,
)
from calibration.int8.ranges import Histogram
from calibration.int8.report import short_layer_name
from edge.chip import to_input
from edge.errors import EngineError
from export.bundle import reference_bundle
from export.parity_data import portrait_chips

MODEL = reference_bundle() / "embedder.onnx"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few made-up people, as chips."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    from edge.portraits import COLLINS, HOPPER, load_chip

    for portrait in (COLLINS, HOPPER):
        for i in range(8):
            path = folder / portrait.person.replace(" ", "-") / f"{i}.jpg"
            path.parent.mkdir(exist_ok=True)
            chip = np.clip(load_chip(portrait) * rng.uniform(0.6, 1.2), 0, 255).astype(np.uint8)
            cv2.imwrite(str(path), chip)
    return folder


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")
    from export.to_onnx import export
    from tests.networks import make_network

    export(make_network(), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def test_the_command(
    people: Path,
    small_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quantize, "SENSITIVITY_CHIPS", 2)
    out, report_path = tmp_path / "int8.onnx", tmp_path / "int8.json"
    command = [
        "--embedder",
        str(small_model),
        "--chips",
        str(people),
        "--all-identities",
        "--out",
        str(out),
    ]
    more = ["--report", str(report_path), "--plot", str(tmp_path / "int8.png"), "--bound", "0.9"]
    assert main([*command, *more]) == 0
    text = capsys.readouterr().out
    assert "<- chosen" in text and "% of the FP32 file" in text
    report = json.loads(report_path.read_text())
    assert (
        set(report["methods"]) == {"minmax", "percentile", "mse", "entropy"}
        and len(report["sensitivity"]) > 10
    )
    assert report["calibration_chips"] == report["measured_chips"] == 16
    properties = {p.key: p.value for p in onnx.load(out).metadata_props}
    assert (
        properties["int8_calibration"] == report["calibration_digest"]
        and properties["int8_ranges"] == report["method"]
    )
    assert (
        properties["preprocessing"] == "arcface-112-rgb-127.5/1"
        and (tmp_path / "int8.png").stat().st_size > 1000
    )
    assert main([*command[:-1], str(tmp_path / "again.onnx"), "--embedder", str(out)]) == 1
    assert "quantised already" in capsys.readouterr().err


def test_command_wrong_arguments_are_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    (tmp_path / "few" / "p").mkdir(parents=True)
    face = next(people.glob("*/*.jpg"))
    (tmp_path / "few" / "p" / "1.jpg").write_bytes(face.read_bytes())
    rest = ["--all-identities", "--out", str(tmp_path / "out.onnx")]
    for arguments, part in (
        (
            ["--embedder", str(tmp_path / "junk.onnx"), "--chips", str(people)],
            "expected an ONNX file",
        ),
        (["--embedder", str(MODEL), "--chips", str(people), "--bound", "2"], "--bound"),
        (
            ["--embedder", str(MODEL), "--chips", str(tmp_path / "few")],
            "at least 16 different chips, found 1",
        ),
    ):
        assert main([*arguments, *rest]) == 2
        assert part in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()


class Scripted(QuantizationSearch):
    """A search whose measurements are made up: each layer in int8 costs what `costs` says."""

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs = costs

    def fidelity(self, ranges: object, in_float: object, chips: object = None) -> Fidelity:
        lost = sum(cost for name, cost in self.costs.items() if name not in in_float)
        return Fidelity(
            {"clean": 1 - lost / 2, "masked": 1 - lost / 2}, {"clean": 1 - lost, "masked": 1 - lost}
        )


def test_costly_layers_return_to_float() -> None:
    costs = {"b": 0.03, "a": 0.02, "c": 0.001}
    steps = Scripted(costs).fall_back({}, costs, [], 0.98)
    assert [step.layer for step in steps] == [None, "b", "a"] and steps[-1].fidelity.is_within(0.98)
    assert [s.layer for s in Scripted(costs).fall_back({}, costs, ["b", "a"], 0.98)] == [None]
    with pytest.raises(EngineError, match="no mix of int8 and float keeps a cosine"):
        Scripted(costs).fall_back({}, costs, [], 0.9999)
    assert isinstance(steps[0], FallbackStep)


def test_vector_per_chip_is_never_clipped() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 99_999), 40.0)
    histograms = {name: Histogram() for name in ("map", "pooled", "vector")}
    histograms["map"].add(values.reshape(10, 100, 10, 10))
    histograms["pooled"].add(values.reshape(100, 1000, 1, 1))
    histograms["vector"].add(values.reshape(100, 1000))
    ranges = select_ranges("mse", histograms)
    assert ranges["vector"] == ranges["pooled"] == 40.0 and ranges["map"] < 30.0


def test_vectors_of_the_reference_are_found() -> None:
    model = onnx.load(MODEL)
    histograms = collect_histograms(
        model, plan_quantization(model).activations(), [to_input(portrait_chips()[:1])]
    )
    vectors = [name for name, histogram in histograms.items() if not histogram.is_map]
    assert len(vectors) == 4 and all("layer87" in name or "layer88" in name for name in vectors)


def test_names_for_people() -> None:
    assert short_layer_name("/network/stem/stem.2/body/body.1/body.1.0/Conv") == "stem.2/body.1.0"
    assert short_layer_name("/network/tail/tail.7/Gemm") == "tail.7/Gemm"
