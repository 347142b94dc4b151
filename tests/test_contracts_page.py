"""docs/contracts.md and docs/commands.md agree with parsers, models, enums and files on disk."""

from __future__ import annotations

import re

import pytest

from tests.reference import commands, contracts
from tests.reference.parsers import ROOT, Command, read_commands


@pytest.fixture(scope="module")
def found() -> list[Command]:
    return read_commands()


def test_commands_page_is_current(found: list[Command]) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert text == commands.page(found), "run: make docs-generate"


def test_contracts_page_is_current(found: list[Command]) -> None:
    text = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    assert text == contracts.page(found), "run: make docs-generate"


def test_every_option_has_a_text(found: list[Command]) -> None:
    every = [each for command in found for each in command.walk()]
    assert len(every) > 40
    without = [
        f"{each.name} {option.spelling}"
        for each in every
        for option in each.options
        if not option.text
    ]
    assert not without


def test_files_of_the_configuration_are_listed() -> None:
    assert set(contracts.FILES) == set(contracts.config_paths())


def test_formats_on_the_page_are_in_the_code() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "edge").rglob("*.py"))
    named = set(re.findall(r"`(mfsa-edge [a-z]+ \d+)`", contracts.page([])))
    assert len(named) == 3
    assert not [each for each in named if f'b"{each}\\n"' not in sources]


def test_keys_named_in_pages_exist() -> None:
    """Keys such as `door.pulse_s`; the last part may be a section."""
    keys = {key for key, _, _ in contracts.config_keys()}
    keys |= {key[:end] for key in keys for end in range(len(key)) if key[end] == "."}
    sections = "|".join(sorted({key.partition(".")[0] for key in keys if "." in key}))
    named = re.compile(rf"`((?:{sections})\.[a-z_.]+?)(?::[^`]*)?`")
    files = re.compile(r"\.(db|key|md|py|sock|yaml|json|confirmed|onnx|plan)$")
    unknown = [
        f"{page.relative_to(ROOT)}: {key}"
        for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
        for key in named.findall(page.read_text(encoding="utf-8"))
        if key not in keys and not files.search(key)
    ]
    assert not unknown
