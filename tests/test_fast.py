"""Selection of tests by `make test-fast`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fast import pytest_ignore_collect, skip_at


@pytest.mark.parametrize(
    ("event", "argument"),
    [("subprocess.Popen", "ls"), ("os.fork", ""), ("import", "torch"), ("import", "torch.nn")],
)
def test_fast_run_skips_heavy_tests(event: str, argument: str) -> None:
    with pytest.raises(pytest.skip.Exception):
        skip_at(event, (argument,))


@pytest.mark.parametrize(
    ("event", "argument"), [("open", "torch"), ("import", "numpy"), ("socket.bind", "")]
)
def test_fast_run_keeps_light_tests(event: str, argument: str) -> None:
    assert skip_at(event, (argument,)) is None


@pytest.mark.parametrize(("name", "ignored"), [("fuzz", True), ("test_names.py", None)])
def test_fast_run_ignores_long_files(name: str, ignored: bool | None) -> None:
    assert pytest_ignore_collect(Path("tests") / name) is ignored
