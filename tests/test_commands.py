"""Every command that is installed answers --help with an example, and wrong usage with exit code 2."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from importlib.util import find_spec

import pytest

SCRIPTS = {
    s.name: s.value
    for s in entry_points(group="console_scripts")
    if s.name.startswith(("edge-", "mfsa-"))
}
NEEDS_TORCH = {"mfsa-train", "mfsa-export"}


def main_of(name: str) -> object:
    if name in NEEDS_TORCH and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    module, function = SCRIPTS[name].split(":")
    return getattr(importlib.import_module(module), function)


def test_all_commands_are_installed() -> None:
    assert len(SCRIPTS) >= 12


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_help_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main_of(name)(["--help"])  # type: ignore[operator]
    assert ended.value.code == 0
    assert "example:" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_wrong_usage_exits_with_2(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main_of(name)(["--no-such-option"])  # type: ignore[operator]
    assert ended.value.code == 2
