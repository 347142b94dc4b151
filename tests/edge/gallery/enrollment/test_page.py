from __future__ import annotations

import re
from pathlib import Path

from edge.face.quality import ENROLL, MESSAGES
from edge.gallery.enrollment import people

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "enrollment.md").read_text()
SOURCES = "\n".join(path.read_text() for path in Path(people.__file__).parent.glob("*.py"))


def test_every_reason_is_explained() -> None:
    reasons = set(re.findall(r'(?:PhotoError|_no_single)\(\s*"([a-z-]+)"', SOURCES)) | {
        reason for reason, _ in MESSAGES.values()
    }
    assert len(reasons) > 18
    assert not {reason for reason in reasons if f"`{reason}`" not in PAGE}


def test_the_least_values_are_those_of_the_gate() -> None:
    for component, (reason, _) in MESSAGES.items():
        row = next(
            line for line in PAGE.splitlines() if line.startswith("|") and f"`{reason}`" in line
        )
        assert f"`{component}`" in row and f"{getattr(ENROLL, component):.0f}" in row, row


def test_every_column_of_a_list_is_explained() -> None:
    assert not {name for name in people.COLUMNS if f"`{name}`" not in PAGE}
