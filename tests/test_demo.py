"""The promise of the README, kept: the demo from the bundle to the report."""

from __future__ import annotations

from pathlib import Path

from tests.processes import run


def test_the_door_opens_for_collins_with_and_without_mask_and_for_nobody_else(bundle_path: Path, tmp_path: Path) -> None:
    done = run("edge.cli.demo", "--bundle", bundle_path, "--out", tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("DOOR OPENS") == 2
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    assert "no PAD" in done.stdout


def test_without_a_bundle_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("edge.cli.demo", "--bundle", tmp_path / "none", "--out", tmp_path / "demo")
    assert done.returncode == 1
    assert "mfsa-bundle make" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()
