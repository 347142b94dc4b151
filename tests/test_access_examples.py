"""The setups of docs/access-rules.md are valid configurations without warnings about readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edge.config import load_config
from edge.door.access_check import check_access

PAGE = Path(__file__).resolve().parents[1] / "docs" / "access-rules.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_setup_of_the_page_is_valid(block: str, write_config: Callable[..., Path]) -> None:
    config = load_config(write_config(**yaml.safe_load(block)))
    assert [f.message for f in check_access(config) if not f.is_ok and "reader" in f.message] == []


def test_page_has_six_setups() -> None:
    assert len(BLOCKS) == 6
