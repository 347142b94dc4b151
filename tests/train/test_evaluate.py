"""Runs of `mfsa-evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")

from calibration.evaluation import pair_sets, pairs
from calibration.evaluation.report import SUMMARY
from calibration.evaluation.results import rate_differences
from edge.bundle import read_manifest
from edge.engine import open_engine
from export.bundle import reference_bundle
from tests.networks import make_network
from train import synthetic_people
from train.cli.evaluate import main
from train.weights import save_weights

MODEL = reference_bundle() / "embedder.onnx"


@pytest.fixture
def pair_list(tmp_path: Path) -> Path:
    mated = [f"{person} 1 {i}" for person in ("collins", "hopper") for i in (2, 3)]
    (tmp_path / "pairs.txt").write_text(
        "\n".join(mated + ["collins 1 hopper 2", "hopper 3 collins 2"] * 500)
    )
    return tmp_path / "pairs.txt"


@pytest.fixture
def small_network(tmp_path: Path) -> Path:
    save_weights(make_network(), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def test_one_model_with_everything(
    people: Path,
    pair_list: Path,
    bundle_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [
        str(bundle_path),
        "--pairs",
        str(pair_list),
        "--chips",
        str(people),
        "--people",
        str(people),
        "--real-masks",
        str(people),
    ]
    out = {kind: tmp_path / f"report.{kind}" for kind in ("json", "html", "markdown")}
    assert (
        main(
            [
                *command,
                "--all-identities",
                "--show-faces",
                *(a for kind, path in out.items() for a in (f"--{kind}", str(path))),
            ]
        )
        == 0
    )
    report = json.loads(out["json"].read_text())
    assert set(report) == {"embedder", "masks", "pairs", "places", "trust", "people", "real_masks"}
    assert (
        report["pairs"]["pairs.txt"]["clean"]["accuracy"] > 0.9
        and report["pairs"]["pairs.txt"]["faces_found_again"] > 0.5
    )
    page = out["html"].read_text()
    assert (
        page.count("<svg") == 4
        and page.count("data:image/png") > 30
        and 'src="http' not in page
        and "<link" not in page
    )
    assert "Faithfulness of the unmasked map" in page and "found again" in page
    table = out["markdown"].read_text()
    assert "| figure | " in table and all(f"| {title} | " in table for title, _, _ in SUMMARY)
    assert "including those of the training" in table
    assert "one masked: 10-fold / TAR at FMR 1e-3" in capsys.readouterr().out


def test_evaluate_draws_pairs_of_any_folder(tmp_path: Path, small_network: Path) -> None:
    synthetic_people.write_people(tmp_path / "faces", 10)
    command = [
        str(small_network),
        "--all-identities",
        "--quick",
        "--chips",
        str(tmp_path / "faces"),
    ]
    files = {name: tmp_path / name for name in ("auto.json", "again.json", "pairs.txt")}
    drawn = ["--pairs", "auto", "--write-pairs", str(files["pairs.txt"])]
    assert main([*command, *drawn, "--json", str(files["auto.json"])]) == 0
    again = ["--pairs", str(files["pairs.txt"]), "--json", str(files["again.json"])]
    assert main([*command, *again]) == 0
    auto, listed = (
        next(iter(json.loads(files[name].read_text())["pairs"].values()))
        for name in ("auto.json", "again.json")
    )
    assert auto["list"] == "faces, pairs drawn by seed 0"
    assert (auto["folds"], auto["people"]) == (2, 10)
    for condition in ("clean", "one_masked", "both_masked"):
        assert auto[condition] == listed[condition]


def test_several_models_side_by_side(people: Path, pair_list: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "all.json", tmp_path / "all.html"
    command = [
        f"first={MODEL}",
        f"second={MODEL}",
        "--pairs",
        str(pair_list),
        "--chips",
        str(people),
        "--quick",
    ]
    assert main([*command, "--json", str(out), "--html", str(page)]) == 0
    report = json.loads(out.read_text())
    assert (
        set(report["models"]) == {"first", "second"}
        and report["models"]["first"] == report["models"]["second"]
    )
    (compared,) = report["comparisons"]
    assert compared["masked"]["pairs.txt"]["fnmr_difference_95"] == [0, 0]
    assert "no difference that this data could show" in compared["masked"]["pairs.txt"]["words"]
    assert (
        "second less first on pairs.txt" in page.read_text()
        and "trust" not in report["models"]["first"]
    )


def test_rate_difference_words() -> None:
    def rounds(fnmr: float, fmr: float) -> np.ndarray:
        return np.column_stack([np.full(200, fnmr), np.full(200, fmr)]) + np.random.default_rng(
            0
        ).normal(0, 1e-4, (200, 2))

    def differences(a: tuple[float, float], b: tuple[float, float]) -> dict[str, Any]:
        return rate_differences(
            *({"fnmr_masked": x, "fmr_masked": y} for x, y in (a, b)), rounds(*a), rounds(*b)
        )

    better = differences((0.4, 0.002), (0.3, 0.002))
    assert (
        better["words"] == "lower"
        and better["fnmr_difference_95"][1] < 0
        and better["fnmr"] == [0.4, 0.3]
    )
    assert differences((0.3, 0.002), (0.4, 0.002))["words"] == "higher"
    assert (
        differences((0.4, 0.002), (0.3, 0.009))["words"] == "lower, but it lets more strangers in"
    )


def test_what_cannot_be_measured_is_one_sentence(
    people: Path, pair_list: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"junk")
    for arguments, part in (
        ([str(MODEL)], "nothing to measure on"),
        ([str(MODEL), "--pairs", str(pair_list)], "belong together"),
        ([str(MODEL), "--people", str(people)], "add --all-identities"),
        (
            [str(MODEL), str(MODEL), "--people", str(people), "--all-identities"],
            "name them NAME=FILE",
        ),
        (
            [
                str(MODEL),
                "--people",
                str(people),
                "--all-identities",
                "--json",
                str(tmp_path / "no" / "x.json"),
            ],
            "folder does not exist",
        ),
        ([str(tmp_path / "none.onnx"), "--people", str(people), "--all-identities"], "none.onnx"),
        ([str(junk), "--people", str(people), "--all-identities"], "junk.onnx"),
        (
            [str(MODEL), "--people", str(people), "--all-identities", "--detector", str(tmp_path)],
            "detector",
        ),
    ):
        assert main(arguments) in (1, 2)
        message = capsys.readouterr().err
        assert part in message and "Traceback" not in message


@pytest.mark.shared
def test_reference_matches_manifest_figures(shared: Path, tmp_path: Path) -> None:
    """Evaluate the first two folds of the pairs; `make reference` evaluates all of them."""
    folds = (shared / "lfw_pairs.txt").read_text().splitlines()[1:1201]
    # Each pair counts twice: FMR 1e-3 needs 1,000 non-mated pairs.
    (tmp_path / "pairs.txt").write_text("\n".join(folds * 2))
    chosen = pair_sets.read_list(tmp_path / "pairs.txt", shared / "chips" / "lfw_pairs.tar")
    engine = open_engine(MODEL, threads=1)
    found = pairs.run(engine, chosen, every_condition=False).figures()
    claimed = read_manifest(reference_bundle()).accuracy["pairs"]["lfw_pairs.txt"]
    for name in ("clean", "one_masked", "both_masked"):
        assert found[name]["accuracy"] == pytest.approx(claimed[name]["accuracy"], abs=0.02), name
