"""Conventions are kept, and their counters find what they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conventions import ROWS

SAMPLE = """
import time
from edge.config import Door as DoorConfig
from edge.door import _secret


class Twice: ...


def test_sleeps_and_reaches(monkeypatch, thing):
    time.sleep(1)
    thing._inner.run()
    monkeypatch.setattr("edge.door._limit", 1)
    other.public()
    self._own = 1


def test_that_asserts_by_a_helper():
    helper()


def helper():
    assert True
"""


@pytest.mark.parametrize("row", ROWS)
def test_count_is_within_limit(row: str) -> None:
    count, limit = ROWS[row].count(), ROWS[row].limit
    assert count <= limit, f"{count} of at most {limit}; python -m tests.conventions --list {row}"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A small project in which each convention is broken."""
    for folder in ("tests", "edge", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tests" / "test_sample.py").write_text(SAMPLE)
    long = "def test_" + "a" * 60 + "():\n" + "    x = 1\n" * 50 + "    assert x" + " " * 90 + "\n"
    (tmp_path / "tests" / "test_long.py").write_text(long)
    for name in ("reader.py", "conventions.py"):  # the second may name the words
        (tmp_path / "tests" / name).write_text("spoilt = 1  # it tells nothing\n")
    (tmp_path / "edge" / "one.py").write_text(
        "class Twice: ...\nis_told = True  # told, recommended\n"
    )
    (tmp_path / "edge" / "two.py").write_text("class Twice: ...\n# Nobody is let in.\n")
    page = f"{'word ' * 25}\n| {'cell ' * 25}|\n```\n{'code ' * 25}\n```\nhttps://{'x' * 100}\n"
    (tmp_path / "docs" / "page.md").write_text(page + "It was mended beside the nobody account.\n")
    (tmp_path / "CHANGELOG.md").write_text("- `--mend` -> `--repair`\n")
    for file in ("Makefile", "pyproject.toml"):
        (tmp_path / file).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ("words", 7),
        ("subjects", 1),
        ("classes", 1),
        ("aliases", 1),
        ("code-lines", 1),
        ("prose-lines", 1),
        ("names-60", 1),
        ("names-45", 1),
        ("sleeps", 1),
        ("assertions", 1),
        ("privates", 3),
        ("functions", 1),
    ],
)
def test_counter_finds_offences(row: str, count: int, sample: Path) -> None:
    found = ROWS[row].find(sample)
    assert len(found) == count, found


def test_every_counter_has_an_example() -> None:
    mark = next(m for m in test_counter_finds_offences.pytestmark if m.name == "parametrize")
    assert [row for row, _ in mark.args[1]] == list(ROWS)
