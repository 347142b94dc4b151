"""Text for messages."""

from __future__ import annotations


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 photo", "2 photos", "1,000 people"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
