"""Demo of the README, from the bundle to the report."""

from __future__ import annotations

from pathlib import Path

from edge.demo.outcome import PASSED
from tests.bundles import CALIBRATION
from tests.processes import run


def test_the_door_does_all_that_is_promised_of_it(bundle_path: Path, tmp_path: Path) -> None:
    done = run("edge.cli.demo", "--bundle", bundle_path, "--out", tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("door opens at") == 2 and "door refuses: lockdown" in done.stdout
    assert done.stdout.count("door asks for a card or PIN at") == 2
    assert PASSED in done.stdout and "no PAD" in done.stdout
    page = (tmp_path / "demo" / "report.html").read_text()
    assert (
        f"thresholds {CALIBRATION.unmasked.threshold:.3f} unmasked" in page
        and "masked for 3 templates; false-positive" in page
    )
    assert PASSED in page and all(
        lane in page
        for lane in (
            "asks for PIN",
            "silent alarm",
            "held-open alarm",
            "lockdown",
            "fire, until reset",
        )
    )


def test_without_a_bundle_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("edge.cli.demo", "--bundle", tmp_path / "none", "--out", tmp_path / "demo")
    assert done.returncode == 1
    assert "mfsa-bundle make" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()
