from __future__ import annotations

from pathlib import Path

import pytest

from tests.leaks.__main__ import search_files


@pytest.mark.skipif(
    not Path("/proc/sys/kernel/core_pattern").read_text().startswith("core"),
    reason="core dumps of this machine go elsewhere",
)
def test_search_finds_plain_template_only(tmp_path: Path) -> None:
    result = search_files(tmp_path)
    for place, hits in result.rows.items():
        assert any(hits.values()) == ("control" in place), place
    assert result.before and not result.after
    assert not list((tmp_path / "guarded").iterdir())
