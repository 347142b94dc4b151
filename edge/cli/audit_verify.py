"""`edge-audit verify` and `checkpoint`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge.audit import formatting
from edge.audit.locations import LogLocation, copied_log, log_locations
from edge.audit.report import VerificationReport
from edge.audit.segments import list_segments
from edge.audit.verify import ExpectedRecord
from edge.audit.writer_state import default_key_path
from edge.cli import common
from edge.cli.audit_filter import SHOWN_MAX
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError, RecordError
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import write_atomic

if TYPE_CHECKING:
    from edge.audit.checkpoint import Checkpoint


def verify(args: argparse.Namespace) -> int:
    """Verify logs and print findings; FAILED if there are any."""
    locations = _locations(args)
    checkpoint = _load_checkpoint(locations, args)
    code, results = common.DONE, {}
    for location in locations:
        if args.record not in (None, location.name):
            continue
        report = _verify(location, checkpoint)
        code = common.FAILED if report.findings else code
        if args.json:
            results[location.name] = _as_json(report)
        else:
            is_covered = checkpoint is not None and checkpoint.log_id == location.log_id
            _print_report(location, report, is_covered=is_covered)
    if args.json:
        print(json.dumps(results))
    return code


def _locations(args: argparse.Namespace) -> list[LogLocation]:
    if args.folder is not None:
        return [copied_log(args.folder, args.key)]
    return log_locations(load_config(args.config))


def sign_checkpoint(config: TerminalConfig, args: argparse.Namespace) -> int:
    """Verify a log, then sign its end."""
    from edge.audit.checkpoint import Checkpoint, public_key_hex, signing_key

    common.check_output_files(args.out)
    (location,) = log_locations(config, args.record)
    key = signing_key(location.verification_keys()[0])
    if args.public_key:
        print(public_key_hex(key))
        return common.DONE
    report = _verify(location)
    if (last := report.last) is None:
        raise RecordError(f"{location.folder}: no records, nothing to sign")
    if report.findings and not args.force:
        raise RecordError(
            f"{len(report.findings)} findings in {location.folder}; run edge-audit verify, "
            "or sign with --force"
        )
    wall = formatting.unix_time(last.public)
    text = Checkpoint(location.log_id, last.id, last.hash.hex(), wall).sign(key)
    if args.out:
        with acting_as_owner(args.out.parent):
            write_atomic(args.out, text.encode(), 0o644)
    else:
        print(text, end="")
    return common.DONE


def _verify(location: LogLocation, checkpoint: Checkpoint | None = None) -> VerificationReport:
    from tqdm import tqdm

    expected = None
    if checkpoint is not None and checkpoint.log_id == location.log_id:
        expected = ExpectedRecord(checkpoint.id, bytes.fromhex(checkpoint.hash))
    size = sum(path.stat().st_size for path in list_segments(location.folder))
    with tqdm(
        total=size,
        unit="B",
        unit_scale=True,
        disable=None,
        delay=1.0,
        leave=False,
        desc=location.name,
    ) as bar:
        return location.verify(expected, bar.update)


def _load_checkpoint(locations: list[LogLocation], args: argparse.Namespace) -> Checkpoint | None:
    """Read the checkpoint file; its signature is checked if a key is available."""
    from edge.audit.checkpoint import public_key_hex, read_checkpoint, signing_key

    if args.checkpoint is None:
        return None
    try:
        text = args.checkpoint.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{args.checkpoint}: cannot be read; expected a file made by `edge-audit checkpoint`"
        ) from error
    checkpoint = read_checkpoint(text, None)
    location = next((each for each in locations if each.log_id == checkpoint.log_id), None)
    if location is None:
        raise RecordError(
            f"{args.checkpoint}: is of {checkpoint.log_id}, expected one of "
            f"{', '.join(each.log_id for each in locations)}"
        )
    keys, _ = location.verification_keys()
    public_key = args.public_key or (public_key_hex(signing_key(keys)) if keys else None)
    if public_key is None:
        print(
            "note: the checkpoint's signature was not checked: no verification key here, and no "
            "--public-key",
            file=sys.stderr,
        )
    return read_checkpoint(text, public_key)


def _as_json(report: VerificationReport) -> dict[str, Any]:
    return {
        "first": report.first_id,
        "last": report.last.id if report.last else 0,
        "records": report.records,
        "authentic": report.authentic,
        "notes": report.notes,
        "findings": [asdict(each) for each in report.findings],
    }


def _print_report(location: LogLocation, report: VerificationReport, *, is_covered: bool) -> None:
    """Print a report; `is_covered`: a checkpoint of the log was given."""
    if report.last is None:
        print(f"{location.name}: no records")
    else:
        span = f"{report.records} records, {report.first_id} to {report.last.id}"
        print(f"{location.name}: {span}; {_scope(location, report)}")
    for note in report.notes:
        print(f"  note: {note}")
    for finding in report.findings[:SHOWN_MAX]:
        print(f"  FOUND {finding}")
    if (more := len(report.findings) + report.unlisted - SHOWN_MAX) > 0:
        print(f"  and {more} more; --json has {len(report.findings)} of them")
    if report.last is not None and not is_covered:
        at = formatting.utc_time(report.last.public)
        print(
            f"  end: record {report.last.id} ({at} UTC); only a checkpoint shows a truncation "
            "(--checkpoint)"
        )


def _scope(location: LogLocation, report: VerificationReport) -> str:
    """Return what was checked."""
    if report.authentic == report.records:
        return "chain and MACs fit"
    if report.authentic:
        return f"MACs of {report.authentic} checked and fit"
    return (
        "only the chain was checked: without the verification key, a log rewritten from some "
        f"record on is not found; {_key_advice(location)}"
    )


def _key_advice(location: LogLocation) -> str:
    """Return advice on the verification key, for a log that was verified without it."""
    if location.key_path == default_key_path(location.folder):
        return "name the key with --key, or its folder with `record.verification_key_dir`"
    return (
        f"run this as root, or restore {location.key_path} (`record.verification_key_dir`) "
        "from your backup"
    )
