"""Comparison of exported networks: accepted and refused ones, and the reasons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge.bundle import file_digest
from edge.chip import to_input
from edge.engine import open_engine
from edge.face.detect import FaceDetector, open_detector
from export.bundle import reference_bundle
from export.cli.parity import main
from export.detector_parity import check_detector, detect_faces
from export.parity import PARITY_BOUNDS, Outputs, Parity, check_embedder, compare_engine, run_chips
from export.parity_data import portrait_chips, portrait_scene
from tests.bundles import EMBEDDING

MODEL = reference_bundle() / "embedder.onnx"
FIRST = "/low/layer2/Conv"
LAST = ("/top/layer89/Conv", "/branch.1/layer89/layer/Conv")


@pytest.fixture(scope="module")
def expected() -> Outputs:
    return run_chips(open_engine(MODEL, threads=1), to_input(portrait_chips()))


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(MODEL)
    change(model)
    onnx.save(model, path)
    return path


def weights_of(
    model: onnx.ModelProto, *layers: str, of: slice = slice(1, 2)
) -> list[onnx.TensorProto]:
    """Return the weights of layers; with `of` also other inputs of them."""
    nodes = [node for node in model.graph.node if node.name.endswith(layers)]
    assert len(nodes) == len(layers)
    names = [name for node in nodes for name in node.input[of]]
    return [tensor for tensor in model.graph.initializer if tensor.name in names]


def swap_channels(model: onnx.ModelProto) -> None:
    (weight,) = weights_of(model, FIRST)
    weight.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(weight)[:, ::-1].copy(), weight.name)
    )


def zero(*layers: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for weight in weights_of(model, *layers):
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 0, weight.name))

    return change


def normalise_inside(model: onnx.ModelProto) -> None:
    """Add (x - 127.5) / 127.5 to the network: correct for pixels, wrong for our input."""
    half = numpy_helper.from_array(np.float32(127.5), "half")
    model.graph.initializer.append(half)
    first = next(node for node in model.graph.node if "chip" in node.input)
    first.input[0] = "normalised"
    model.graph.node.insert(0, helper.make_node("Div", ["centred", "half"], ["normalised"], "div"))
    model.graph.node.insert(0, helper.make_node("Sub", ["chip", "half"], ["centred"], "sub"))


def set_not_a_number(model: onnx.ModelProto) -> None:
    weight = weights_of(model, *LAST)[0]
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (swap_channels, "swapped", ["colour channels are swapped"]),
        (
            zero("/low/layer30/Conv"),
            "zeroed",
            ["cosine", "the first layer that differs is low/layer30"],
        ),
        (
            zero(*LAST),
            "dead",
            ["it has 2 different outputs for 34 chips, expected 34: a layer is dead"],
        ),
        (
            normalise_inside,
            "preprocessing",
            ["its preprocessing is wrong: it wants pixels in 0..255"],
        ),
        (set_not_a_number, "nan", ["values that are not finite"]),
        (
            lambda model: model.graph.output.pop(),
            "output",
            ["it has no output expected_similarity"],
        ),
    ],
)
def test_a_broken_network_is_stopped_by_name(
    change: Callable[[onnx.ModelProto], None],
    name: str,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = changed(tmp_path / f"{name}.onnx", change)
    assert main([str(reference_bundle()), str(broken), "--precision", "int8"]) == 1
    output = capsys.readouterr()
    assert "REFUSED" in output.out and f"1 of 1 differ from {reference_bundle()}" in output.err
    assert all(part in output.out for part in words)


def test_the_same_network_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = changed(tmp_path / "same.onnx", lambda model: None)
    assert main([str(MODEL), str(same), "--json", str(tmp_path / "report.json")]) == 0
    assert (
        "same.onnx (fp32): passed" in capsys.readouterr().out
        and (tmp_path / "report.json").is_file()
    )


def test_parity_other_shape_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def narrower(model: onnx.ModelProto) -> None:
        weights = weights_of(model, *LAST, "/similarity/similarity.0/Gemm", of=slice(1, 3))
        for tensor in weights:
            values = numpy_helper.to_array(tensor)
            if len(values) == EMBEDDING:
                values = values[:100]
            elif values.ndim == 2:  # the head that reads the embedding
                values = values[:, : values.shape[1] - EMBEDDING + 100]
            tensor.CopyFrom(numpy_helper.from_array(values.copy(), tensor.name))
        del model.graph.output[0].type.tensor_type.shape.dim[1:]
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 100

    assert main([str(MODEL), str(changed(tmp_path / "narrow.onnx", narrower))]) == 1
    output = capsys.readouterr().out
    assert f"its embedding has the shape (34, 100), expected (34, {EMBEDDING})" in output
    assert "the first layer that differs is " in output and "layer89/layer (in shape)" in output


def test_command_wrong_arguments_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, part in (
        ([str(MODEL), str(tmp_path / "none.onnx")], "none.onnx"),
        ([str(MODEL), str(MODEL), "--pairs", "p.txt"], "belong together"),
        ([str(MODEL), str(MODEL), "--max-chips", "0"], "--max-chips"),
    ):
        assert main(arguments) == 2
        message = capsys.readouterr().err
        assert part in message and "Traceback" not in message


def test_parity_result_is_of_one_file(expected: Outputs) -> None:
    digest = file_digest(MODEL)
    engine = open_engine(MODEL, threads=1)
    verdict = check_embedder(
        engine, portrait_chips(), expected, "fp32", judged=digest, reference=digest
    )
    assert (
        verdict.passed
        and verdict.judged == verdict.reference == digest
        and verdict.samples == len(portrait_chips())
    )
    assert verdict.figures["min_cosine"] >= verdict.figures["min_cosine_bound"]


def test_other_precisions_may_differ_more(expected: Outputs) -> None:
    class Noisy:
        def run(self, batch: np.ndarray) -> Outputs:
            outputs = open_engine(MODEL, threads=1).run(batch)
            noise = np.random.default_rng(0).standard_normal(outputs["embedding"].shape)
            size = np.linalg.norm(outputs["embedding"], axis=1, keepdims=True) / np.linalg.norm(
                noise, axis=1, keepdims=True
            )
            return {
                **outputs,
                "embedding": (outputs["embedding"] + 0.1 * size * noise).astype(np.float32),
            }

        def close(self) -> None: ...

    assert compare_engine(Noisy(), portrait_chips(), expected, "int8")[1] == ""
    assert "cosine" in compare_engine(Noisy(), portrait_chips(), expected, "fp16")[1]


def test_nan_is_the_worst_there_is() -> None:
    nothing = Parity(1, -1.0, -1.0, *[float("nan")] * 4)
    assert not nothing.is_within(
        PARITY_BOUNDS["int8"]
    ) and "attention wrong by nan" in nothing.describe_violations(PARITY_BOUNDS["int8"])


def test_detector_parity_by_faces(detector: FaceDetector, bundle_path: Path) -> None:
    scene = portrait_scene()
    faces = detect_faces(detector, scene)
    assert faces.shape == (2, 15) and faces[0, 0] < faces[1, 0]
    digests = {"judged": "0" * 64, "reference": "1" * 64}
    assert check_detector(detector, scene, faces, "fp32", **digests).passed
    moved = faces.copy()
    moved[:, 4:14] += 3
    verdict = check_detector(detector, scene, moved, "fp16", **digests)
    assert not verdict.passed and "landmarks are off by" in verdict.reason
    models = {"640x480": bundle_path / "detector-640x480.onnx"}
    blind = open_detector(models, min_score=0.99, threads=1)
    verdict = check_detector(blind, scene, faces, "fp16", **digests)
    assert not verdict.passed and verdict.reason == "expected 2 faces in the scene, found 0"


def test_parity_chips_include_hard_cases() -> None:
    chips = portrait_chips()
    assert chips.shape == (34, 112, 112, 3) and (chips[4] == chips[0][..., ::-1]).all()
