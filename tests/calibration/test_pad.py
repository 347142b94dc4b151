from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.cli.pad import main
from calibration.metrics import clopper_pearson_upper
from calibration.pad import BONA_FIDE, SpeciesResult, find_clips


@pytest.fixture
def tree(tmp_path: Path, collins: np.ndarray) -> Path:
    """A frozen stream, and a clip that is too short to say anything; both drawn from a portrait."""
    picture = cv2.resize(collins, (480, 480))
    for name, frames in (
        ("attack/synthetic-frozen/a", 20),
        ("attack/synthetic-frozen/b", 20),
        ("bona_fide/short", 2),
    ):
        folder = tmp_path / "clips" / name
        folder.mkdir(parents=True)
        for number in range(frames):
            cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
    return tmp_path / "clips"


def test_species_counts_and_bounds(
    tree: Path, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, page = tmp_path / "pad.json", tmp_path / "pad.md"
    assert (
        main(
            [
                str(tree),
                "--bundle",
                str(bundle_path),
                "--json",
                str(report),
                "--markdown",
                str(page),
            ]
        )
        == 0
    )
    species = {entry["species"]: entry for entry in json.loads(report.read_text())["species"]}
    frozen, living = species["synthetic-frozen"], species[BONA_FIDE]
    assert (frozen["figure"], frozen["wrong"], frozen["responded"], frozen["refused_by"]) == (
        "APCER",
        0,
        2,
        {"motion": 2},
    )
    assert (
        frozen["at_most_95"] == pytest.approx(0.7764, abs=1e-3)
        and frozen["tests_the_plumbing_only"]
    )
    assert (living["figure"], living["responded"], living["no_response"], living["rate"]) == (
        "BPCER",
        0,
        1,
        None,
    )
    text = page.read_text()
    assert (
        "Not a certification" in text
        and "tests the plumbing" in text
        and text in capsys.readouterr().out
    )


def test_pad_other_folder_layout_is_refused(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--bundle", str(bundle_path)]) == 2
    assert "expected bona_fide/<clip> and attack/<species>/<clip>" in capsys.readouterr().err
    (tmp_path / "bona_fide").mkdir()
    (tmp_path / "bona_fide" / "x.mp4").write_bytes(b"junk")
    assert main([str(tmp_path), "--bundle", str(bundle_path)]) == 2
    assert "x.mp4" in capsys.readouterr().err


def test_clips_are_found_by_species(tree: Path) -> None:
    assert [(name, path.name) for name, path in find_clips(tree)] == [
        (BONA_FIDE, "short"), ("synthetic-frozen", "a"), ("synthetic-frozen", "b")
    ]  # fmt: skip


def test_wrong_counts_of_attack_and_bona_fide() -> None:
    attack, living = SpeciesResult("print"), SpeciesResult(BONA_FIDE)
    for kind in (attack, living):
        kind.outcomes.update(["passed", "refused", "no-response"])
    assert attack.wrong == living.wrong == 1 and attack.as_dict()["responded"] == 2


def test_bounds() -> None:
    assert clopper_pearson_upper(0, 0) == clopper_pearson_upper(3, 3) == 1.0
    assert clopper_pearson_upper(0, 300) == pytest.approx(0.00994, abs=1e-4)
