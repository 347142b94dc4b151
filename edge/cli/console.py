"""`edge-console`: web pages for operators and for the terminal's screen."""

from __future__ import annotations

import argparse
import importlib
import sys
from types import ModuleType

from edge.cli import common
from edge.config import load_config
from edge.errors import MfsaError
from edge.system.packages import install_command


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-console",
        "Run the web pages for operators and for the terminal's screen.",
        "edge-console run --config /etc/mfsa-edge/terminal.yaml",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run")
    run = commands.add_parser("run", help="run the console until SIGTERM")
    common.add_config(run)
    run.set_defaults(action=_run)
    args = parser.parse_args(argv)
    return common.run("edge-console", lambda: int(args.action(args)))


def _load(module: str) -> ModuleType:
    """Import a module of the console; raises MfsaError if its libraries are missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MfsaError(
            f"{error.name} is not installed; install what this command needs: "
            f"{install_command('mfsa-edge[console]')}"
        ) from error


def _run(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    common.log_to_stderr()
    _load("edge.console.run").run(config)
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
