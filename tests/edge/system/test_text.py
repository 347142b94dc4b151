from __future__ import annotations

import pytest

from edge.system.text import format_count


@pytest.mark.parametrize(
    ("number", "nouns", "words"),
    [
        (0, ("photo",), "0 photos"),
        (1, ("photo",), "1 photo"),
        (2000, ("photo",), "2,000 photos"),
        (1, ("person", "people"), "1 person"),
        (2, ("person", "people"), "2 people"),
    ],
)
def test_count_agrees_with_number(number: int, nouns: tuple[str, ...], words: str) -> None:
    assert format_count(number, *nouns) == words
