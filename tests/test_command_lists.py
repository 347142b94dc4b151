"""Lists of commands agree with the scripts of pyproject.toml."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from tests.reference import commands, contracts
from tests.reference.parsers import read_commands
from tests.scripts import ROOT, read_scripts, terminal_commands
from tests.test_workshop_help import REQUIRED

_NAME = r"(?:edge|mfsa)-[a-z0-9]+(?:-[a-z0-9]+)*"
_SCRIPTS = read_scripts()
_WORKSTATION = {name for name in _SCRIPTS if name.startswith("mfsa-")}


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _of_installer() -> set[str]:
    found = re.search(r"^readonly COMMANDS=\(([^)]*)\)$", _text("systemd/lib.sh"), re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def _of_readme() -> set[str]:
    """Return the commands in the first column of the README's table."""
    rows = re.findall(r"^\| (`(?:edge|mfsa)-[^|]*) \|", _text("README.md"), re.MULTILINE)
    return set(re.findall(_NAME, " ".join(rows)))


def _of_overview() -> set[str]:
    return set(re.findall(rf"^\| \[`({_NAME})`\]", commands.page(read_commands()), re.MULTILINE))


def _of_contracts() -> set[str]:
    return set(re.findall(rf"^\| `({_NAME})[ `]", contracts.page(read_commands()), re.MULTILINE))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(_of_installer(), terminal_commands(), id="systemd/lib.sh"),
        pytest.param(_of_readme() - _WORKSTATION, terminal_commands(), id="README.md"),
        pytest.param(_of_overview(), set(_SCRIPTS), id="docs/commands.md"),
        pytest.param(_of_contracts(), set(_SCRIPTS), id="docs/contracts.md"),
        pytest.param(set(REQUIRED), _WORKSTATION, id="tests/test_workshop_help.py"),
    ],
)
def test_list_of_commands_is_complete(found: set[str], expected: set[str]) -> None:
    assert found == expected


def _called() -> Iterator[tuple[str, str]]:
    """Yield file and command of each call in recipes, units, scripts and examples."""
    paths = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "systemd").rglob("*")]
    call = re.compile(rf"(?:\$\(BIN\)|\$PROGRAM/bin|/opt/mfsa-edge/bin)/\"?({_NAME})")
    for path in paths:
        if path.is_file():
            for name in call.findall(path.read_text(encoding="utf-8")):
                yield str(path.relative_to(ROOT)), name


def test_called_commands_exist() -> None:
    called = set(_called())
    assert len(called) > 20
    assert not {each for each in called if each[1] not in _SCRIPTS}


@pytest.mark.parametrize("module", sorted({module for module, _ in _SCRIPTS.values()}))
def test_entry_points_are_scripts(module: str) -> None:
    """Each function of a module of entry points has a command of its name, and the reverse."""
    loaded = importlib.import_module(module)
    functions = {
        name
        for name, function in inspect.getmembers(loaded, inspect.isfunction)
        if function.__module__ == module
        and next(iter(inspect.signature(function).parameters), "") == "argv"
    }
    assert functions == {function for found, function in _SCRIPTS.values() if found == module}
    for name, (found, function) in _SCRIPTS.items():
        assert found != module or name.partition("-")[2].replace("-", "_") == function


def test_installed_commands_are_scripts() -> None:
    installed = {
        script.name: script.value
        for script in entry_points(group="console_scripts")
        if re.fullmatch(_NAME, script.name)
    }
    assert installed == {name: ":".join(where) for name, where in _SCRIPTS.items()}
