"""`edge-bench`: measure speed, stability and heat of a terminal on this machine."""

from __future__ import annotations

import argparse
import sys

from edge.cli import common
from edge.cli.bench_options import parse


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    common.limit_decoder_messages()
    return common.run("edge-bench", lambda: _run_command(args))


def _run_command(args: argparse.Namespace) -> int:
    from edge.cli.bench_commands import COMMANDS  # --help works without the libraries

    return COMMANDS[args.command](args)


if __name__ == "__main__":
    sys.exit(main())
