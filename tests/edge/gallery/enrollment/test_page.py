from __future__ import annotations

from pathlib import Path

import pytest

from edge import photofile
from edge.cli import enroll
from edge.face.quality import ENROLLMENT_GATE, MESSAGES
from edge.gallery.enrollment import roster
from edge.gallery.enrollment.attributes import AGREEING_MIN, PHOTOS_MIN
from edge.gallery.enrollment.refusals import RefusalReason

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "enrollment.md").read_text()


def test_page_lists_every_reason() -> None:
    assert {reason for reason, _ in MESSAGES.values()} <= {one.value for one in RefusalReason}
    rows = {
        cells[1].strip().strip("`"): cells[3].strip()
        for line in PAGE.splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) == 5
    }
    assert {one.value: one.sentence for one in RefusalReason} == {
        reason: rows.get(reason) for reason in RefusalReason
    }


def test_page_minimums_are_those_of_the_gate() -> None:
    for component, (reason, _) in MESSAGES.items():
        row = next(
            line for line in PAGE.splitlines() if line.startswith("|") and f"`{reason}`" in line
        )
        assert f"`{component}`" in row and f"{getattr(ENROLLMENT_GATE, component):.0f}" in row, row


def test_page_lists_every_column() -> None:
    assert not {name for name in roster.COLUMNS if f"`{name}`" not in PAGE}


def test_page_least_photos_are_those_of_code() -> None:
    """`tests/edge/gallery/test_enroll.py` checks that the code uses these numbers."""
    least = PHOTOS_MIN["standard"], PHOTOS_MIN["strict"]
    assert PHOTOS_MIN["off"] == least[0]
    assert f"usable photos is {least[0]}, at the level strict {least[1]}." in PAGE
    assert f"Better are {AGREEING_MIN + 1} or more" in PAGE
    assert f"({AGREEING_MIN} others must agree)" in PAGE


def test_help_photos_are_those_of_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        enroll.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"({photofile.FORMATS}): {PHOTOS_MIN['standard']} at least, " in said
    assert f"{PHOTOS_MIN['strict']} at the level strict; of {AGREEING_MIN + 1} or more" in said
