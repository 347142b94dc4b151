"""`edge-audit`: show, export, verify and erase audit records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from edge.audit.locations import KEYS_NEXT_TO_LOGS, SET_KEYS, log_locations
from edge.audit.provisioning import provision_log
from edge.cli import common
from edge.cli.audit_erase import erase
from edge.cli.audit_show import export, follow, show
from edge.cli.audit_verify import sign_checkpoint, verify
from edge.config import TerminalConfig, load_config
from edge.parsing import parse_day

_LOGS = ("decisions", "door", "console")
_EXAMPLES = {
    "init": "sudo edge-audit init --config /etc/mfsa-edge/terminal.yaml",
    "show": "edge-audit show --config terminal.yaml --last 20",
    "follow": "edge-audit follow --config terminal.yaml --record door",
    "export": "edge-audit export --config terminal.yaml --record door --since 120 --out door.jsonl",
    "verify": "edge-audit verify --config terminal.yaml --checkpoint checkpoint.json",
    "checkpoint": "edge-audit checkpoint --config terminal.yaml --record door --out door.json",
    "erase": 'edge-audit erase --config terminal.yaml --subject "Ada" --dry-run',
}
_HELP = {
    "init": "make the verification keys, readable by root only; the installer runs it",
    "show": "print records of all logs by time",
    "follow": "print new records as they are written",
    "export": "write the records of one log as JSON lines or CSV",
    "verify": "find changed, removed, inserted or reordered records; exits with 1 if there are any",
    "checkpoint": "sign where a log ends; keep the file elsewhere",
    "erase": "erase the personal part of records; the rest stays and still verifies",
}


def main(argv: list[str] | None = None) -> int:
    """Run `edge-audit`."""
    parser = common.parser(
        "edge-audit", "Show, export, verify and erase audit records.", _EXAMPLES["show"]
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(_EXAMPLES))
    subs = {
        name: commands.add_parser(name, help=_HELP[name], epilog=f"example: {_EXAMPLES[name]}")
        for name in _EXAMPLES
    }
    for name in subs.keys() - {"verify"}:
        common.add_config(subs[name])
    _add_verify(subs["verify"])
    _add_selection(subs)
    _add_output(subs)
    _add_checkpoint(subs["checkpoint"])
    _add_erase(subs["erase"])
    args = parser.parse_args(argv)
    if args.command == "verify":
        if (args.key and not args.folder) or (args.record and args.folder):
            parser.error("--key belongs to --folder, and --record to --config")
        return common.run("edge-audit", lambda: verify(args))
    run = {
        "init": _init,
        "show": show,
        "follow": follow,
        "export": export,
        "checkpoint": sign_checkpoint,
        "erase": erase,
    }[args.command]
    return common.run("edge-audit", lambda: run(load_config(args.config), args))


def _add_selection(subs: Mapping[str, argparse.ArgumentParser]) -> None:
    """Add the options that select records."""
    for name in ("show", "follow", "verify"):
        subs[name].add_argument("--record", choices=_LOGS, help="one audit log (default: all)")
    for name in ("export", "checkpoint"):
        subs[name].add_argument(
            "--record", choices=_LOGS, required=True, help="which of the audit logs"
        )
    for name in ("show", "follow"):
        subs[name].add_argument(
            "--subject", type=common.subject_name, metavar="NAME", help="only of this person"
        )
        subs[name].add_argument(
            "--kind", metavar="WORD", help="only of this kind, event or verdict"
        )
    for name in ("show", "export"):
        subs[name].add_argument(
            "--since",
            type=common.whole_number(0),
            default=0,
            metavar="ID",
            help="only records after this id",
        )
    subs["show"].add_argument(
        "--last", type=common.whole_number(0), metavar="N", help="only the newest N"
    )
    subs["show"].add_argument(
        "--picture",
        type=common.whole_number(1),
        metavar="ID",
        help="decrypt the evidence picture of this decision, into --out",
    )


def _add_output(subs: Mapping[str, argparse.ArgumentParser]) -> None:
    """Add the options of the output."""
    for name in ("show", "follow", "verify"):
        subs[name].add_argument("--json", action="store_true", help="print JSON")
    subs["export"].add_argument(
        "--format",
        choices=("jsonl", "csv"),
        default="jsonl",
        help="JSON lines or CSV (default %(default)s)",
    )
    subs["show"].add_argument("--out", type=Path, metavar="FILE", help="file for the picture")
    for name in ("export", "checkpoint"):
        subs[name].add_argument(
            "--out", type=Path, metavar="FILE", help="file to write (default: standard output)"
        )


def _add_verify(sub: argparse.ArgumentParser) -> None:
    where = sub.add_mutually_exclusive_group(required=True)
    common.add_config(where, required=False)
    where.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="one log or a copy of it, without a config"
    )
    sub.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="verification keys for --folder (default: next to it)",
    )
    sub.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="made by `edge-audit checkpoint`: shows a truncated log",
    )
    sub.add_argument(
        "--public-key", metavar="HEX", help="of the checkpoint, if there is no verification key"
    )


def _add_checkpoint(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--public-key", action="store_true", help="print the key that checks the signature"
    )
    sub.add_argument("--force", action="store_true", help="sign even if verify reports findings")


def _add_erase(sub: argparse.ArgumentParser) -> None:
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--subject", type=common.subject_name, metavar="NAME", help="of this person or operator"
    )
    which.add_argument(
        "--before",
        type=common.option_type(parse_day),
        metavar="DATE",
        help="of all people before this day in the terminal's time zone, such as 2026-01-31",
    )
    sub.add_argument("--dry-run", action="store_true", help="print the numbers, erase nothing")


def _init(config: TerminalConfig, args: argparse.Namespace) -> int:
    for location in log_locations(config):
        print(f"{location.name}: {provision_log(location.folder, location.key_path)}")
    if config.record.verification_key_dir is None:
        print(f"still to do: {KEYS_NEXT_TO_LOGS}; {SET_KEYS}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
