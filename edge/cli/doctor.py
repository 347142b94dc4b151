"""`edge-doctor`: check a terminal, or print its configuration reference."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli import common
from edge.config import load_config_files

if TYPE_CHECKING:
    from edge.ops.doctor import CheckResult

_MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}
_FORMATS = ("json", "markdown", "yaml")


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-doctor",
        "Check configuration, bundle, engine, gallery, camera and door, and print a remedy for "
        "each problem. Warnings do not fail; errors exit with 1. `schema` prints the configuration "
        "reference instead.",
        "edge-doctor --config terminal.yaml\n  edge-doctor schema --format yaml > terminal.yaml",
    )
    parser.add_argument(
        "task", nargs="?", choices=("check", "schema"), default="check", help="default: check"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the terminal's YAML file; required for check",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="json",
        help="of schema: JSON Schema, Markdown reference or a sample YAML file (default: json)",
    )
    args = parser.parse_args(argv)
    if args.task == "schema":
        print(_schema(args.format), end="")
        return common.DONE
    if args.config is None:
        parser.error("--config is required, for example: edge-doctor --config terminal.yaml")
    common.limit_decoder_messages()
    return common.run("edge-doctor", lambda: _doctor(args))


def _schema(form: str) -> str:
    from edge.config import reference

    return {
        "json": reference.build_schema,
        "markdown": reference.build_markdown,
        "yaml": reference.build_sample,
    }[form]()


def _doctor(args: argparse.Namespace) -> int:
    config, files = load_config_files(args.config)
    from edge.ops.doctor import ERROR, OK, CheckResult, examine

    results = []
    read = CheckResult(OK, "config", f"valid: {', '.join(map(str, files))}")
    for result in itertools.chain([read], examine(config)):
        results.append(result)
        if not args.json:
            show(result)
    if args.json:
        print(json.dumps([asdict(result) for result in results]))
    return common.FAILED if any(result.level == ERROR for result in results) else common.DONE


def show(result: CheckResult) -> None:
    """Print one line of the report."""
    print(f"{_MARKS[result.level]}  {result.subject:<10}  {result.message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
