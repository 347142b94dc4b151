from __future__ import annotations

from pathlib import Path

import pytest

from edge.audit import handover
from edge.errors import RecordError

FIELDS = {"event": "not-a-duplicate", "subject": "Ada", "other": "Bea", "note": "twins"}


def test_handover_left_is_read_and_taken_once(tmp_path: Path) -> None:
    path = tmp_path / "handover.json"
    assert handover.read(path) is None and not handover.remove(path)
    handover.write(path, FIELDS)
    assert path.stat().st_mode & 0o077 == 0
    assert handover.read(path) == FIELDS
    assert handover.remove(path) and handover.read(path) is None


@pytest.mark.parametrize("content", ["", "[", "[1]", '{"event": 1}', "[" * 9000, "1"])
def test_handover_damaged_file_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "handover.json").write_text(content)
    with pytest.raises(RecordError, match="not a record to be written"):
        handover.read(tmp_path / "handover.json")


def test_handover_unknown_fields_dropped(tmp_path: Path) -> None:
    handover.write(tmp_path / "handover.json", {**FIELDS, "verdict": "grant"})
    assert handover.read(tmp_path / "handover.json") == FIELDS


def test_handover_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}")
    (tmp_path / "handover.json").symlink_to(tmp_path / "other")
    with pytest.raises(RecordError, match="cannot be read"):
        handover.read(tmp_path / "handover.json")


def test_handover_in_missing_folder_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be written"):
        handover.write(tmp_path / "none" / "handover.json", FIELDS)
