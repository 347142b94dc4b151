"""Commands: --help with an example, --version, exit code 2 on wrong usage."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge.cli.common import subject_name
from tests.reference.parsers import Option, read_commands
from tests.scripts import read_scripts

SCRIPTS = {
    s.name: s.value
    for s in entry_points(group="console_scripts")
    if s.name.startswith(("edge-", "mfsa-"))
}
NEEDS_TORCH = {"mfsa-train", "mfsa-export"}
_SPELLINGS = [each.name.split() for command in read_commands() for each in command.walk()]


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


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_help_keeps_lines_of_example_and_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main_of(name)(["--help"])  # type: ignore[operator]
    shown = capsys.readouterr().out
    assert f"\nexample:\n  {name}" in shown
    assert "\nexit codes:\n  0 done\n  1 refused or failed\n  2 wrong usage" in shown


@pytest.mark.parametrize("words", _SPELLINGS, ids=" ".join)
def test_abbreviated_option_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command and subcommand would accept `--vers` as `--version`."""
    with pytest.raises(SystemExit) as ended:
        main_of(words[0])([*words[1:], "--vers"])  # type: ignore[operator]
    output = capsys.readouterr()
    assert ended.value.code == 2 and output.out == "" and "error: " in output.err


_VALUES = [
    pytest.param(option, id=f"{each.name} {option.names[0]}")
    for command in read_commands()
    for each in command.walk()
    for option in each.options
    if option.read not in (None, Path, subject_name)
]


@pytest.mark.parametrize("option", _VALUES)
@pytest.mark.parametrize("value", ["12x", "", "\x01", "-3"])
def test_wrong_value_names_what_is_expected(option: Option, value: str) -> None:
    """A function that raises ValueError makes argparse show its name instead."""
    assert option.read is not None
    try:
        option.read(value)
    except argparse.ArgumentTypeError as error:
        assert "expected " in str(error)


def test_wrong_number_of_plain_type_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["edge-bench", "run", "--faces"], ["edge-rehearse", "--fps"]):
        with pytest.raises(SystemExit):
            main_of(arguments[0])([*arguments[1:], "x"])  # type: ignore[operator]
        assert re.search(r"expected a (whole )?number,? such as", capsys.readouterr().err)


@pytest.mark.parametrize("words", _SPELLINGS, ids=" ".join)
def test_usage_error_is_one_line_and_example(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main_of(words[0])([*words[1:], "--no-such-option"])  # type: ignore[operator]
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"{words[0]}") and ": error: " in error
    assert re.match(rf"example: (sudo )?{words[0]} |see {' '.join(words)} --help", hint)


EDGE = sorted(name for name in SCRIPTS if name.startswith("edge-"))


@pytest.mark.parametrize("name", EDGE)
def test_command_version_is_that_installed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main_of(name)(["--version"])  # type: ignore[operator]
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{name} {version('mfsa-edge')}\n"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("level", ["debug", "error"])
def test_command_log_level_decides(level: str, before: bool, tmp_path: Path) -> None:
    """The option works before and after the name of a subcommand."""
    config = tmp_path / "terminal.yaml"
    config.write_text("terminal: t\nbundle: b\ncamera: {kind: opencv, source: 0}\n")
    option = ["--log-level", level]
    arguments = [*option, "check"] if before else ["check", *option]
    code = "import logging, sys; from edge.cli.door import main; main(); logging.info('said')"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--config", str(config)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ("said" in done.stderr) == (level == "debug")


_INTERRUPT = """
import sys
from edge.cli import entry

class Interrupt:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.exit(getattr(entry, sys.argv[2])(["--help"]))
"""


@pytest.mark.parametrize("module", ["edge.cli.common", "edge.errors"])
@pytest.mark.parametrize("name", EDGE)
def test_ctrl_c_during_import_is_one_line(name: str, module: str) -> None:
    command = name.removeprefix("edge-")
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPT, module, command], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, f"{name}: stopped\n")


@pytest.mark.parametrize("name", EDGE)
def test_entry_point_handles_early_ctrl_c(name: str) -> None:
    command = name.removeprefix("edge-")
    assert read_scripts()[name] == ("edge.cli.entry", command)
