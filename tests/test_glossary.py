"""The glossary defines each term once and covers the terms of the style rules."""

from __future__ import annotations

import re
from pathlib import Path

GLOSSARY = Path(__file__).resolve().parents[1] / "docs" / "glossary.md"
REQUIRED = (
    "probe, template, subject, gallery, enrollment, grant, REX, door held open, forced open, "
    "lockdown, anti-passback, PAD, FMR, FNMR, FPIR, FNIR, audit log, checkpoint, "
    "verification key, AEAD, atomic write, lock file, safe state, de-energised, backoff, "
    "watchdog, rate limit, quorum"
)


def _sections() -> dict[str, list[tuple[str, str, str]]]:
    """Return term, meaning and source by section; tables of other widths are left out."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for part in GLOSSARY.read_text(encoding="utf-8").split("\n## ")[1:]:
        rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", part, re.MULTILINE)
        if rows and rows[0] == ("term", "meaning", "source"):
            found[part.splitlines()[0]] = rows[1:]
    return found


def test_glossary_terms_are_unique_and_sorted() -> None:
    sections = _sections()
    terms = [term for rows in sections.values() for term, _, _ in rows]
    assert len(terms) > 100
    assert len({term.lower() for term in terms}) == len(terms)
    for section, rows in sections.items():
        names = [term.lower() for term, _, _ in rows]
        assert names == sorted(names), section


def test_glossary_meanings_are_one_sentence() -> None:
    for rows in _sections().values():
        for term, meaning, source in rows:
            assert meaning.endswith("."), term
            assert source.strip(), term


def test_glossary_covers_required_terms() -> None:
    terms = " ".join(term for rows in _sections().values() for term, _, _ in rows)
    assert not [term for term in REQUIRED.split(", ") if term not in terms]
