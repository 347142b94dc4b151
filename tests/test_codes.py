"""Spelling and sentences of all codes, and the page that lists them."""

from __future__ import annotations

import re

import pytest

from edge.codes import Code
from tests.codes import ENUMS, PAGE, DescribedCode, page

CODES = [code for codes in ENUMS.values() for code in codes]


def test_codes_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs-generate"


def test_codes_all_enums_are_listed() -> None:
    listed = {type(code) for code in CODES}
    assert set(Code.__subclasses__()) <= listed and len(listed) == len(ENUMS)


@pytest.mark.parametrize("code", CODES, ids=repr)
def test_code_has_spelling_and_sentence(code: DescribedCode) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code.value)
    assert re.fullmatch(r"[a-z][^|]*[^.]", code.sentence)
    assert f"| `{code.value}` | {code.sentence} |" in page()
