"""Runs of `mfsa-threshold`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.threshold import main
from calibration.scores import LabelledEmbeddings
from calibration.threshold import EmbeddedFaces, RealMasks, calibrate
from edge.bundle import VERIFICATION_FMR, read_manifest
from edge.config import load_config
from edge.gallery.key import load_key_and_drop_privileges
from edge.gallery.store import open_store
from export.bundle import reference_bundle
from tests.bundles import EMBEDDING

MODEL = reference_bundle() / "embedder.onnx"


def test_thresholds_need_data_that_supports_them(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thresholds.json"
    command = [
        "--embedder",
        str(MODEL),
        "--chips",
        str(people),
        "--all-identities",
        "--out",
        str(out),
    ]
    assert main(command) == 2
    assert "needs at least 100,000 non-mated comparisons, found 9" in capsys.readouterr().err
    assert main([*command, "--target-fmr", "0.2"]) == 0
    written = json.loads(out.read_text())
    assert written["people"] == 2 and written["masked"]["comparisons"] == 18
    assert written["min_expected_similarity"] == 0
    assert main([*command[:-3], "--out", str(out)]) == 2
    assert "add --all-identities" in capsys.readouterr().err


def test_thresholds_measure_least_similarity(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thresholds.json"
    command = ["--embedder", str(MODEL), "--chips", str(people), "--all-identities"]
    command += ["--target-fmr", "0.2", "--out", str(out), "--real-masks", str(people)]
    assert main(command) == 0
    least = json.loads(out.read_text())["min_expected_similarity"]
    assert 0 < least < 1
    output = capsys.readouterr().out
    assert f"faces below {least:.2f} are refused as hidden" in output
    assert "real masks: 0.0% of" in output and "sunglasses and drawn masks: " in output


def test_thresholds_by_fpir_and_gallery(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "thresholds.json", tmp_path / "det.png"
    command = [
        "--embedder",
        str(MODEL),
        "--chips",
        str(people),
        "--all-identities",
        "--out",
        str(out),
    ]
    assert main([*command, "--fpir", "0.5", "--gallery", "3", "--det", str(plot)]) == 0
    written = json.loads(out.read_text())
    assert (
        written["unmasked"]["target_fmr"] == pytest.approx(1 - 0.5 ** (1 / 3))
        and written["fpir_target"] == 0.5
    )
    assert (
        "the smallest FMR that 9 non-mated comparisons support: 1.1e-01" in capsys.readouterr().out
    )
    assert plot.stat().st_size > 1000
    for wrong, part in (
        (["--fpir", "0.5"], "belong together"),
        (["--fpir", "0.5", "--gallery", "3", "--target-fmr", "0.1"], "exclude each other"),
        (["--fpir", "2", "--gallery", "3"], "between 0 and 1"),
        (["--target-fmr", "0"], "between 0 and 1"),
        (
            ["--fpir", "0.5", "--gallery", "3", "--det", str(tmp_path / "none" / "det.png")],
            "det.png",
        ),
    ):
        assert main([*command, *wrong]) == 2
        assert part in capsys.readouterr().err
    assert main(["--embedder", str(MODEL), "--chips", str(people)]) == 2
    assert "--out with --embedder" in capsys.readouterr().err


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _faces(rng: np.random.Generator, people: int = 30) -> EmbeddedFaces:
    labels = np.repeat(np.arange(people), 3)
    centres = _unit(rng.normal(size=(people, 64)))
    bare, masked = (
        LabelledEmbeddings(_unit(centres[labels] + rng.normal(size=(len(labels), 64)) * s), labels)
        for s in (0.05, 0.1)
    )
    return EmbeddedFaces(bare, masked, *np.full((2, len(labels)), 0.7, np.float32))


@pytest.mark.parametrize(("pull", "fixed_by"), [(0.0, "drawn"), (3.0, "real")])
def test_masked_threshold_is_highest_of_exams(pull: float, fixed_by: str) -> None:
    rng = np.random.default_rng(1)
    faces = _faces(rng)
    # Strangers who all resemble the people of the templates when masked, or resemble none.
    noise = rng.normal(size=(40, 64)) * (1.0 if pull else 0.0)
    away = -faces.bare.vectors.mean(axis=0) + noise * 0.02 + 1e-3
    near = faces.bare.vectors[rng.integers(0, 90, 40)] * pull + noise * 0.1
    strangers = LabelledEmbeddings(_unit(near if pull else away), np.repeat(np.arange(30, 40), 4))
    before = calibrate(MODEL, faces, target_fmr=0.01, description="", kept_apart=True)
    after = calibrate(
        MODEL,
        faces,
        real=RealMasks(strangers, np.full(40, 0.7, np.float32), None),
        target_fmr=0.01,
        description="",
        kept_apart=True,
    )
    exams = {exam.impostors: exam for exam in after.masked_exams}
    assert list(exams) == ["drawn", "real", "masked-pairs"] and after.masked_fixed_by == fixed_by
    assert before.masked_exams == () and before.masked_fixed_by is None
    assert after.masked.threshold == max(exams["drawn"].threshold, exams["real"].threshold)
    assert after.masked.threshold >= before.masked.threshold == exams["drawn"].threshold
    assert max(exams["drawn"].fmr, exams["real"].fmr) <= 0.01
    assert exams["real"].comparisons == 40 * 90 and exams["real"].people == 10
    assert after.unmasked == before.unmasked and after.same_person == before.same_person


def test_verification_threshold_is_lower() -> None:
    rng = np.random.default_rng(1)
    faces = _faces(rng, people=150)
    alike = faces.bare.vectors[rng.integers(0, 450, 80)] + rng.normal(size=(80, 64)) * 0.1
    strangers = LabelledEmbeddings(_unit(alike), np.repeat(np.arange(150, 170), 4))
    real = RealMasks(strangers, np.full(80, 0.7, np.float32), None)
    result = calibrate(MODEL, faces, real=real, target_fmr=1e-5, description="", kept_apart=True)
    for point, search in (
        (result.verification.unmasked, result.unmasked),
        (result.verification.masked, result.masked),
    ):
        assert point.target_fmr == VERIFICATION_FMR and point.threshold < search.threshold
    assert result.masked_fixed_by == "real"
    scores = strangers.vectors @ faces.bare.vectors.T
    assert (scores >= result.verification.masked.threshold).mean() <= VERIFICATION_FMR


def test_exam_that_fixes_nothing_may_be_missing() -> None:
    faces = _faces(np.random.default_rng(1))
    one = LabelledEmbeddings(_unit(np.random.default_rng(2).normal(size=(4, 64))), np.full(4, 30))
    result = calibrate(
        MODEL,
        faces,
        real=RealMasks(one, np.full(4, 0.7, np.float32), one),  # without another person
        target_fmr=0.01,
        description="",
        kept_apart=True,
    )
    assert [exam.impostors for exam in result.masked_exams] == ["drawn", "real", "masked-pairs"]


def test_few_real_impostors_are_reported(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thresholds.json"
    command = ["--embedder", str(MODEL), "--chips", str(people), "--all-identities"]
    command += ["--target-fmr", "0.12", "--out", str(out), "--real-masks", str(people)]
    assert main(command) == 0
    output, written = capsys.readouterr().out, json.loads(out.read_text())
    exams = {exam["impostors"]: exam for exam in written["masked_exams"]}
    assert list(exams) == ["drawn", "real", "real-own-data", "masked-pairs"]
    assert exams["real"]["comparisons"] == 6  # the own people are mated
    assert exams["real"]["target_fmr"] == pytest.approx(1 / 6)
    assert "too few for FMR 1.2e-01: its own threshold is for 1.7e-01" in output
    assert f"fixed by: {written['masked_fixed_by']}" in output
    assert main([*command[:-1], str(people / "none")]) == 2
    assert "expected a .tar file or a folder" in capsys.readouterr().err


def test_thresholds_go_into_a_bundle(people: Path, bundle_path: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    before = read_manifest(bundle)
    command = [
        "--bundle",
        str(bundle),
        "--chips",
        str(people),
        "--all-identities",
        "--target-fmr",
        "0.2",
    ]
    assert main([*command, "--precision", "int8"]) == 0
    after = read_manifest(bundle)
    assert before.int8 is not None and after.int8 is not None
    assert after.calibration == before.calibration and after.int8.calibration.people == 2
    assert (
        after.int8.calibration.embedder == after.files["embedder-int8.onnx"].sha256
        and after.files == before.files
    )
    assert main(command) == 0
    assert read_manifest(bundle).calibration.people == 2
    without = Path(shutil.copytree(bundle_path, tmp_path / "without"))
    manifest = read_manifest(without)
    (without / "manifest.json").write_text(
        manifest.model_copy(update={"int8": None}).model_dump_json()
    )
    assert main(["--bundle", str(without), *command[2:], "--precision", "int8"]) in (1, 2)


def test_a_site_s_own_people_are_asked(
    write_config: Callable[..., Path], bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config()
    config = load_config(path)
    digest = read_manifest(bundle_path).files["embedder.onnx"].sha256
    templates = np.eye(EMBEDDING, dtype=np.float32)[:4]
    templates[3] = templates[0] * 0.95 + templates[1] * np.sqrt(
        1 - 0.95**2
    )  # another person, similar to the first

    def enroll(subject: str, rows: np.ndarray) -> None:
        store = open_store(config, digest, load_key_and_drop_privileges(config))
        try:
            store.enroll(subject, rows)
        finally:
            store.close()

    enroll("ada", templates[:1])
    assert main(["--config", str(path)]) == 2
    assert "at least two enrolled people, found 1" in capsys.readouterr().err
    enroll("bob", templates[1:3])
    assert main(["--config", str(path)]) == 0
    assert "is stricter; nothing to do" in capsys.readouterr().out
    enroll("eve", templates[3:])
    assert main(["--config", str(path)]) == 0
    output = capsys.readouterr().out
    assert "no two of them match from 0.95" in output and "threshold_unmasked: 0.95" in output
    assert main(["--config", str(path), "--target-fmr", "0.2"]) == 0
    assert "FMR is 2.0e-01 from 0.31" in capsys.readouterr().out
    assert main(["--config", str(path), "--target-fmr", "0.001"]) == 2
    assert "needs at least 1,000 non-mated comparisons, found 5" in capsys.readouterr().err
