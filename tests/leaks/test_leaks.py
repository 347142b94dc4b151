from __future__ import annotations

from pathlib import Path

import pytest

from tests.leaks.__main__ import look


@pytest.mark.skipif(
    not Path("/proc/sys/kernel/core_pattern").read_text().startswith("core"),
    reason="core dumps of this machine go elsewhere",
)
def test_search_finds_plain_template_only(tmp_path: Path) -> None:
    told = look(tmp_path)
    for where, hits in told.rows.items():
        assert any(hits.values()) == ("control" in where), where
    assert told.before and not told.after
    assert not list((tmp_path / "guarded").iterdir())
