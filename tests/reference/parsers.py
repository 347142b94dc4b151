"""Parsers of all installed commands as plain values, independent of the Python version."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from edge.cli import common
from tests.scripts import read_scripts

ROOT = Path(__file__).resolve().parents[2]
_NUMBERS: Mapping[Any, Any] = {int: common.whole_number(), float: common.number}
COMMON = ("--help", "--version", "--log-level")  # described once for all commands


@dataclass(frozen=True, slots=True)
class Option:
    """Option or positional argument."""

    names: tuple[str, ...]
    value: str  # placeholder of its value, empty for a switch
    required: bool
    text: str
    read: Callable[[str], object] | None = None  # of its value; None: text

    @property
    def spelling(self) -> str:
        """Names with the placeholder, such as `-v`, `--verbose` or `--out FILE`."""
        return ", ".join(f"{name} {self.value}".strip() for name in self.names)


@dataclass(frozen=True, slots=True)
class Command:
    """Command or subcommand."""

    name: str
    text: str
    example: str
    options: tuple[Option, ...]
    subcommands: tuple[Command, ...] = ()

    def walk(self) -> Iterator[Command]:
        """Yield the command and all its subcommands."""
        yield self
        for each in self.subcommands:
            yield from each.walk()


def read_commands() -> list[Command]:
    """Build every command of pyproject.toml, sorted by name."""
    return sorted(
        (
            _read(getattr(importlib.import_module(module), function), name)
            for name, (module, function) in read_scripts().items()
        ),
        key=lambda command: command.name,
    )


class _Captured(BaseException):
    """Carries the parser of a command out of its main function."""

    def __init__(self, parser: argparse.ArgumentParser, texts: dict[str, str]) -> None:
        self.parser, self.texts = parser, texts


def _read(main: Callable[[list[str]], object], name: str) -> Command:
    """Run a command up to the parsing of its arguments, and read its parser."""
    texts: dict[str, str] = {}  # help of each subcommand by its parser's name
    add_subparsers = argparse.ArgumentParser.add_subparsers

    def note_subparsers(parser: argparse.ArgumentParser, **options: Any) -> Any:
        action = add_subparsers(parser, **options)
        add_parser = action.add_parser

        def note_parser(word: str, **more: Any) -> argparse.ArgumentParser:
            added: argparse.ArgumentParser = add_parser(word, **more)
            texts[added.prog] = more.get("help", "")
            return added

        action.add_parser = note_parser  # type: ignore[method-assign, assignment]
        return action

    def capture(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise _Captured(parser, texts)

    with (
        mock.patch.object(argparse.ArgumentParser, "add_subparsers", note_subparsers),
        mock.patch.object(argparse.ArgumentParser, "parse_args", capture),
    ):
        try:
            main([])
        except _Captured as captured:
            return _command(captured.parser, name, captured.texts)
    raise AssertionError(f"{name} parses no arguments")


class _ActionReader(argparse.HelpFormatter):
    """Formatter that notes the actions it is asked to format."""

    actions: tuple[argparse.Action, ...] = ()

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], *_: Any, **__: Any
    ) -> None:
        type(self).actions = tuple(actions)


def _command(parser: argparse.ArgumentParser, name: str, texts: Mapping[str, str]) -> Command:
    class Reader(_ActionReader): ...

    parser.formatter_class = Reader
    parser.format_help()
    options, subcommands = [], []
    for action in Reader.actions:
        if isinstance(action.choices, dict):
            subcommands += [
                _command(part, f"{name} {word}", texts) for word, part in action.choices.items()
            ]
        elif not set(action.option_strings) & set(COMMON):
            options.append(_option(parser, action))
    example = re.search(r"example:\n(.+?)(?:\n\n|\Z)", parser.epilog or "", re.DOTALL)
    return Command(
        name,
        _plain(parser.description or texts.get(parser.prog, "")),
        example.group(1).strip() if example else "",
        tuple(options),
        tuple(subcommands),
    )


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    value = ""
    if action.nargs != 0:
        names = action.metavar or (
            "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest
        )
        value = " ".join(names) if isinstance(names, tuple) else names
        if not action.metavar and not action.choices:
            value = value.upper()
        value += " ..." if action.nargs in ("+", "*") else ""
    text = action.help or ""
    if "%" in text:
        text %= {**vars(action), "prog": parser.prog}
    read = _NUMBERS.get(action.type, action.type)
    if action.option_strings:
        names = tuple(action.option_strings)
        return Option(names, value, action.required, _plain(text), read)
    return Option((value,), "", action.nargs not in ("*", "?"), _plain(text), read)


def _plain(text: str) -> str:
    """Return a text on one line that begins with a capital letter."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]
