"""`edge-console`: web pages for operators and for the terminal's screen."""

from __future__ import annotations

import argparse
import importlib
import sys
from types import ModuleType

from edge.cli import common, console_users
from edge.config import load_config
from edge.errors import MfsaError
from edge.system.packages import install_command

_EXAMPLES = """\
edge-console first-login --config /etc/mfsa-edge/terminal.yaml
  edge-console run --config /etc/mfsa-edge/terminal.yaml"""


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-console",
        "Run the web pages for operators and for the terminal's screen.",
        _EXAMPLES,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="run|first-login|user|certificate"
    )
    run = commands.add_parser("run", help="run the console until SIGTERM")
    common.add_config(run)
    run.set_defaults(action=_run)
    console_users.add_commands(commands)
    certificate = commands.add_parser("certificate", help="show the certificate, to compare it")
    common.add_config(certificate)
    certificate.set_defaults(action=_show_certificate)
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


def _show_certificate(args: argparse.Namespace) -> int:
    from edge.console import tls
    from edge.console.settings import build_settings

    files = tls.certificate_files(build_settings(load_config(args.config)))
    found = files.read()
    print(f"{files.certificate}: valid until {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    print(f"SHA-256 {tls.fingerprint(found)}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
