"""Text for messages."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES_SHOWN = 20


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 photo", "2 photos", "1,000 people"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def format_names(names: Iterable[str]) -> str:
    """Return names in order, "Ada, Bob"; of many the first ones and the number of the rest."""
    found = sorted(names)
    more = len(found) - _NAMES_SHOWN
    return (", ".join(found[:_NAMES_SHOWN]) or "none") + (f" and {more:,} more" if more > 0 else "")
