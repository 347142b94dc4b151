"""`edge-doctor`: is this terminal in order?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from edge.cli import common
from edge.config import load_config

if TYPE_CHECKING:
    from edge.ops.doctor import CheckResult

_MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-doctor",
        "Check configuration, bundle, engine, gallery, camera and door, and say how to mend what is wrong. Warnings do "
        "not fail; errors exit with 1.",
        "edge-doctor --config terminal.yaml",
    )
    common.add_config(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args(argv)
    common.limit_decoder_messages()
    return common.run("edge-doctor", lambda: _doctor(args))


def _doctor(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    from edge.ops.doctor import ERROR, examine

    findings = []
    for finding in examine(config):
        findings.append(finding)
        if not args.json:
            show(finding)
    if args.json:
        print(json.dumps([asdict(f) for f in findings]))
    return common.FAILED if any(f.level == ERROR for f in findings) else common.DONE


def show(finding: CheckResult) -> None:
    """Print one line of the report."""
    print(f"{_MARKS[finding.level]}  {finding.subject:<10}  {finding.message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
