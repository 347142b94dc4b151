"""Shared by all commands: exit codes, errors without traceback, --config, logging."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import io
import logging
import logging.handlers
import math
import os
import queue
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from edge.errors import ConfigError, MfsaError, without_credentials
from edge.names import normalize_name
from edge.people.author import ChangeAuthor
from edge.system.accounts import account_name
from edge.system.packages import install_command
from edge.system.stderr import limit_native_stderr

_T = TypeVar("_T")
DONE, FAILED, USAGE = 0, 1, 2
_CODES = "0 done\n  1 refused or failed\n  2 wrong usage or configuration file"


def run(prog: str, command: Callable[[], int]) -> int:
    """Run a command; return 2 on a configuration error, 1 on any other expected error."""
    _print_any_text()
    try:
        return command()
    except ConfigError as error:
        code, message = USAGE, str(error)
    except MfsaError as error:
        code, message = FAILED, str(error)
    except KeyboardInterrupt:
        code, message = FAILED, "stopped"
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except OSError as error:
        code, message = FAILED, _describe_refusal(error)
    print(f"{prog}: {message}", file=sys.stderr)
    return code


def _print_any_text() -> None:
    """Escape characters that the encoding of standard output lacks, such as Latin-1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _describe_refusal(error: OSError) -> str:
    """Name what the operating system refused, and why."""
    remedy = "; run this as root, or as its owner" if isinstance(error, PermissionError) else ""
    what = "the operating system" if error.filename is None else os.fsdecode(error.filename)
    return without_credentials(f"{what}: {error.strerror or error}{remedy}")


def run_module(
    options: argparse.ArgumentParser, argv: list[str] | None, module: str, extra: str
) -> int:
    """Run a command's module after its options are read: --help works without its libraries."""
    options.parse_args(argv)

    def command() -> int:
        try:
            main = importlib.import_module(module).main
        except ModuleNotFoundError as error:
            raise MfsaError(
                f"{error.name} is not installed; install what this command needs: "
                f"{install_command(f'mfsa-edge[{extra}]')}"
            ) from error
        return int(main(argv))

    return run(options.prog, command)


def calling_account() -> str:
    """Return the name of the account that runs the command, also through sudo."""
    uid = os.getuid()
    sudo_uid = os.environ.get("SUDO_UID", "") if uid == 0 else ""
    uid = int(sudo_uid) if sudo_uid.isdecimal() else uid
    return account_name(uid)


def change_author(program: str, reason: str | None = None) -> ChangeAuthor:
    """Return the author of a change by this command; the default reason names the account."""

    def warn(message: str) -> None:
        print(f"{program}: {message}", file=sys.stderr)

    return ChangeAuthor(reason or f"{program} by {calling_account()}", warn)


class _Version(argparse.Action):
    """Option that prints the installed version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(f"{parser.prog.split()[0]} {_version()}")
        parser.exit()


class _LogLevel(argparse.Action):
    """Option that sets the log level before the command begins."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        log_to_stderr(str(values).upper())


class _Formatter(argparse.HelpFormatter):
    """Help formatter that wraps paragraphs and keeps line breaks and indented lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line
            if line.startswith(" ")
            else super(_Formatter, self)._fill_text(line, width, indent)
            for line in text.splitlines()
        )


class _Parser(argparse.ArgumentParser):
    """Parser with the options that every command and subcommand has.

    It refuses abbreviated options: a script with one breaks when a similar option is added.
    An error is one sentence and an example, without the usage.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        shared = {"formatter_class": _Formatter, "allow_abbrev": False}
        super().__init__(*args, **{**shared, **more})
        self.register("type", int, whole_number())
        self.register("type", float, number)
        self.add_argument(
            "--version",
            action=_Version,
            nargs=0,
            default=argparse.SUPPRESS,
            help="print the version and exit",
        )
        self.add_argument(
            "--log-level",
            action=_LogLevel,
            choices=("debug", "info", "warning", "error"),
            default=argparse.SUPPRESS,
            help="least level of messages on stderr",
        )

    def error(self, message: str) -> NoReturn:
        found = re.search(r"example:\s+(.+)", self.epilog or "")
        hint = f"example: {found[1]}" if found else f"see {self.prog} --help"
        self.exit(USAGE, f"{self.prog}: error: {message}\n{hint}\n")


def parser(prog: str, description: str, example: str) -> argparse.ArgumentParser:
    """Build the parser of a command, with an example and the exit codes below its help."""
    return _Parser(
        prog=prog,
        description=description,
        epilog=f"example:\n  {example}\n\nexit codes:\n  {_CODES}",
    )


def _version() -> str:
    try:
        return importlib.metadata.version("mfsa-edge")
    except importlib.metadata.PackageNotFoundError:
        return "of a source tree that is not installed"


def check_output_files(*paths: Path | None) -> None:
    """Check before long work that output files can be written; raises ConfigError."""
    for path in paths:
        if path is None:
            continue
        folder = path.absolute().parent
        if not folder.is_dir():
            raise ConfigError(f"{path}: its folder does not exist; create it first")
        if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise ConfigError(f"{path}: cannot be written; choose another file")


def add_config(target: argparse._ActionsContainer, *, required: bool = True) -> None:
    target.add_argument(
        "--config", type=Path, required=required, metavar="FILE", help="the terminal's YAML file"
    )


def add_configs(target: argparse._ActionsContainer, *, required: bool = True) -> None:
    """Add --config with one or several files of one terminal; the value is a list of paths."""
    target.add_argument(
        "--config",
        type=Path,
        required=required,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="the terminal's YAML file; all files of a terminal with several lanes are also "
        "checked together",
    )


def limit_decoder_messages() -> Callable[[], None]:
    """Bound the lines that picture decoders print; call it before logging is set up.

    Returns a function that forwards the last lines, for a process that runs no exit handlers.
    """
    before = sys.stderr
    restore = limit_native_stderr(without_credentials)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(sys.stderr)
    return restore


def option_type(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return a parser for an option's value whose ConfigError argparse reports."""

    def convert(text: str) -> _T:
        try:
            return parse(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def whole_number(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """Return a parser for an option's whole number within limits."""
    limits = "" if least is None else f" of at least {least}"
    limits += "" if most is None else f" and at most {most:,}"

    def convert(text: str) -> int:
        # Without a limit on the digits int() raises for very long texts.
        if text.isascii() and re.fullmatch(r"-?[0-9]{1,18}", text):
            value = int(text)
            if (least is None or least <= value) and (most is None or value <= most):
                return value
        raise argparse.ArgumentTypeError(
            f"expected a whole number{limits}, such as {max(least or 0, 3)}, found {text!r}"
        )

    return convert


def number(text: str) -> float:
    """Return an option's finite number."""
    try:
        if math.isfinite(value := float(text)):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number such as 0.5, found {text!r}")


def positive_number(text: str) -> float:
    """Return an option's number above 0."""
    if (value := number(text)) > 0:
        return value
    raise argparse.ArgumentTypeError(f"expected a number above 0, such as 1.5, found {text!r}")


def or_none(parse: Callable[[str], _T]) -> Callable[[str], _T | str]:
    """Return a parser for an option's value that also accepts the word none."""

    def convert(text: str) -> _T | str:
        try:
            return text if text == "none" else parse(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; or none") from error

    return convert


def subject_name(text: str) -> str:
    """Return the normalised form of a subject's name on the command line."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"expected UTF-8 text, found {text!r}") from error
    return normalize_name(text)


def log_to_stderr(level: str = "INFO") -> None:
    """Log to stderr; the first call decides the level, which is that of --log-level if given."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )


def log_in_background() -> None:
    """Log to stderr in a thread: a stalled reader never blocks the caller.

    Messages beyond 1,000 waiting ones are dropped.
    """
    log_to_stderr()
    logging.raiseExceptions = False
    root = logging.getLogger()
    lines: queue.Queue[logging.LogRecord] = queue.Queue(maxsize=1000)
    listener = logging.handlers.QueueListener(lines, *root.handlers)
    root.handlers = [logging.handlers.QueueHandler(lines)]
    listener.start()
