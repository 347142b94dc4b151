"""Statements of the documents that the code must fulfil."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from edge.config import TerminalConfig, load_config
from tests.scripts import read_scripts

ROOT = Path(__file__).resolve().parents[1]


def test_door_page_names_existing_tests() -> None:
    named = set(re.findall(r"`(test_\w+|Test\w+)`", (ROOT / "docs" / "door.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 30
    assert not {
        name
        for name in named
        if not re.search(rf"(def {name}\(|^{name} = )", sources, re.MULTILINE)
    }


def _keys(model: type[BaseModel]) -> set[str]:
    """Return the keys of a section and of all sections in it."""
    found = set(model.model_fields)
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            found |= _keys(part)
    return found


def _parts(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in get_args(annotation) for part in _parts(argument)]


def test_sample_config_names_every_key() -> None:
    text = (ROOT / "systemd" / "terminal.yaml").read_text()
    assert not {key for key in _keys(TerminalConfig) if not re.search(rf"\b{key}:", text)}


def test_sample_config_is_valid_with_defaults(tmp_path: Path) -> None:
    sample = tmp_path / "terminal.yaml"
    sample.write_text((ROOT / "systemd" / "terminal.yaml").read_text())
    least = {"bundle": "b", "camera": {"kind": "opencv", "source": 0}, "liveness": {"kind": "none"}}
    config, plain = load_config(sample), TerminalConfig.model_validate(least)
    assert (
        config.policy == plain.policy
        and config.detector == plain.detector
        and config.record.model_copy(update={"verification_key_dir": None}) == plain.record
    )


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Accounts, units and a model.
NOT_COMMANDS = {
    "mfsa-console",
    "mfsa-edge",
    "mfsa-door",
    "mfsa-kiosk",
    "edge-expire",
    "edge-kiosk",
    "mfsa-product",
}


def _code(page: Path) -> str:
    """Return the code of a page."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


def test_docs_name_commands_that_exist() -> None:
    """Commands are entry points; install.sh links those of a terminal into /usr/local/bin."""
    known = read_scripts()
    command = re.compile(r"(?<![\w./-])((?:edge|mfsa)-[a-z-]+)(?![\w./-])")
    named = {(page.name, name) for page in PAGES for name in command.findall(_code(page))}
    assert len(named) > 40
    assert not {each for each in named if each[1] not in known and each[1] not in NOT_COMMANDS}


@pytest.mark.parametrize("script", ["edge-door", "edge-gallery", "edge-audit", "edge-bench"])
def test_docs_name_subcommands_that_exist(script: str) -> None:
    command = re.compile(rf"(?<![\w.-]){script} +([a-z][a-z-]+)")
    named = {word for page in PAGES for word in command.findall(_code(page))}
    named -= read_scripts().keys()  # of services that systemctl starts together
    module, function = read_scripts()[script]
    program = f"import sys; from {module} import {function}; sys.exit({function}())"
    usage = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert named and not {word for word in named if not re.search(rf"\b{word}\b", usage)}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_changelog_entries_are_short() -> None:
    """An entry is one change in at most two lines; no entry occurs twice."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)
    assert len(entries) > 100
    assert not [entry for entry in entries if entry.count("\n") > 1]
    assert len(set(entries)) == len(entries)
