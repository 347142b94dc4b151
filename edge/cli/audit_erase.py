"""`edge-audit erase`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from datetime import time as clock_time
from pathlib import Path

from edge.audit import formatting
from edge.audit.chain import ChainLine
from edge.audit.locations import LogLocation, all_log_locations
from edge.audit.reader import parse_record
from edge.audit.retention import erase_personal_parts
from edge.audit.segments import list_segments
from edge.cli import common
from edge.cli.audit_filter import has_name, warn_of_invalid_segments
from edge.config import TerminalConfig
from edge.system.accounts import acting_as_owner

_NAME_FIELDS = ("subject", "operator", "user", "other")


def erase(config: TerminalConfig, args: argparse.Namespace) -> int:
    """Erase personal parts and pictures in all logs; FAILED if files had to be left out."""
    is_wanted = _selection(config, args)
    locations = all_log_locations(config)
    is_partial, is_found = warn_of_invalid_segments(locations), False
    verb = "would be" if args.dry_run else "are"
    for location in locations:
        with acting_as_owner(location.folder):
            lines = _erase_lines(location, is_wanted, args.dry_run)
            pictures = _erase_pictures(location.pictures, lines, args.dry_run)
        more = f", {len(pictures)} pictures {verb} removed" if pictures else ""
        print(f"{location.name}: {len(lines)} personal parts {verb} erased{more}")
        is_found |= bool(lines)
    if args.subject is not None and not is_found:
        words = f"no record names {args.subject!r}; check the spelling with edge-audit show"
        print(f"edge-audit: warning: {words}", file=sys.stderr)
    return common.FAILED if is_partial else common.DONE


def _selection(config: TerminalConfig, args: argparse.Namespace) -> Callable[[ChainLine], bool]:
    """Return the condition for the lines to erase."""
    before = None
    if args.before is not None:
        midnight = datetime.combine(args.before, clock_time(), config.door.schedule.zone)
        before = midnight.timestamp()

    def is_wanted(line: ChainLine) -> bool:
        fields = parse_record(b"{}\t" + line.personal) or {}
        if not fields:  # not readable: an erasure that did not finish
            return True
        if before is not None:
            return formatting.trusted_time(line.public) < before
        return any(has_name(fields, field, args.subject) for field in _NAME_FIELDS)

    return is_wanted


def _erase_lines(
    location: LogLocation, is_wanted: Callable[[ChainLine], bool], dry_run: bool
) -> list[ChainLine]:
    return [
        line
        for path in list_segments(location.folder)
        for step in erase_personal_parts(path, is_wanted, dry_run=dry_run)
        for line in step
    ]


def _erase_pictures(folder: Path | None, lines: list[ChainLine], dry_run: bool) -> list[Path]:
    """Remove the evidence pictures of erased decisions; return them."""
    from edge.audit.picture_store import picture_path

    if folder is None:
        return []
    paths = [picture_path(folder, line.id) for line in lines]
    pictures = [path for path in paths if path.exists()]
    for path in pictures if not dry_run else ():
        path.unlink(missing_ok=True)
    return pictures
