"""`edge-audit`: what is on record, for people and programs, and whether somebody touched it."""

from __future__ import annotations

import argparse
import heapq
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from datetime import time as clock_time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edge.audit import formatting
from edge.audit.chain import ChainLine
from edge.audit.locations import KEYS_NEXT_TO_LOGS, SET_KEYS, LogLocation, copied_log, log_locations
from edge.audit.provisioning import provision_log
from edge.audit.reader import (
    DecryptFields,
    follow_records,
    parse_record,
    read_records,
    segments_since,
)
from edge.audit.retention import erase_personal_parts
from edge.audit.segments import invalid_segments, list_segments
from edge.audit.verify import ExpectedRecord, VerificationReport
from edge.audit.writer_state import default_key_path
from edge.cli import common
from edge.config import TerminalConfig, load_config
from edge.door.events import DoorEventCode
from edge.errors import ConfigError, MfsaError, RecordError
from edge.names import name_key
from edge.parsing import parse_day
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import check_replaceable, write_atomic
from edge.values import Verdict

if TYPE_CHECKING:
    from edge.audit.checkpoint import Checkpoint

Told = tuple[str, dict[str, Any]]  # a record, and which of the two it is in
_NAMES = ("decisions", "door")
_POLL_S = 0.2
_DIGITS_MAX = 10
KINDS = frozenset({
    *(verdict.value for verdict in Verdict), *(event.value for event in DoorEventCode),
    "begin", "camera", "camera-back", "camera-lost", "changeover", "clock", "decision", "door",
    "end", "enrollment", "gallery", "not-a-duplicate", "older", "readable", "retention",
    "unreadable",
})  # fmt: skip
_NAMED = ("subject", "operator", "other")
_SHOWN = 20  # findings for people; --json has all
_EXAMPLES = {
    "init": "sudo edge-audit init --config /etc/mfsa-edge/terminal.yaml",
    "show": "edge-audit show --config terminal.yaml --last 20",
    "follow": "edge-audit follow --config terminal.yaml --record door",
    "export": "edge-audit export --config terminal.yaml --record door --since 120 --out door.jsonl",
    "verify": "edge-audit verify --config terminal.yaml --checkpoint checkpoint.json",
    "checkpoint": "edge-audit checkpoint --config terminal.yaml --record door --out checkpoint.json",
    "erase": 'edge-audit erase --config terminal.yaml --subject "Ada" --dry-run',
}
_HELP = {
    "init": "make the keys that verify the records, for root alone; the installer does it",
    "show": "records as a table, both merged by time",
    "follow": "records as they come",
    "export": "records of one kind as JSON lines or CSV, from a number on",
    "verify": "whether records were changed, removed, put in or reordered, and where; exits with 1 if so",
    "checkpoint": "sign where a log ends; keep the file elsewhere",
    "erase": "blank what tells of a person, for good; the rest of each record stays and still verifies",
}


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-audit", "Show, export, verify and erase what is on record.", _EXAMPLES["show"]
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(_EXAMPLES))
    subs = {
        name: commands.add_parser(name, help=_HELP[name], epilog=f"example: {_EXAMPLES[name]}")
        for name in _EXAMPLES
    }
    for name in subs.keys() - {"verify"}:
        common.add_config(subs[name])
    _add_verify(subs["verify"])
    _add_shown(subs)
    subs["checkpoint"].add_argument(
        "--public-key", action="store_true", help="print the key that checks the signature"
    )
    subs["checkpoint"].add_argument(
        "--force", action="store_true", help="sign even if verify reports findings"
    )
    _add_erase(subs["erase"])
    args = parser.parse_args(argv)
    if args.command == "verify":
        if (args.key and not args.folder) or (args.record and args.folder):
            parser.error("--key belongs to --folder, and --record to --config")
        return common.run("edge-audit", lambda: _verify(_places(args), args))
    does = {
        "init": _init,
        "show": _show,
        "follow": _follow,
        "export": _export,
        "checkpoint": _checkpoint,
        "erase": _erase,
    }
    return common.run("edge-audit", lambda: does[args.command](load_config(args.config), args))


def _add_shown(subs: Mapping[str, argparse.ArgumentParser]) -> None:
    """Add the options that select and print records."""
    for name in ("show", "follow", "verify"):
        subs[name].add_argument("--record", choices=_NAMES, help="default: both")
    for name in ("export", "checkpoint"):
        subs[name].add_argument(
            "--record", choices=_NAMES, required=True, help="which of the two audit logs"
        )
    for name in ("show", "follow"):
        subs[name].add_argument(
            "--subject", type=common.subject_name, metavar="NAME", help="only of this person"
        )
        subs[name].add_argument(
            "--kind", metavar="WORD", help="only of this kind, event or verdict"
        )
    for name in ("show", "follow", "verify"):
        subs[name].add_argument("--json", action="store_true", help="for machines")
    for name in ("show", "export"):
        subs[name].add_argument(
            "--since", type=int, default=0, metavar="ID", help="only what comes after this number"
        )
    subs["show"].add_argument("--last", type=_count, metavar="N", help="only the newest")
    subs["show"].add_argument(
        "--picture",
        type=int,
        metavar="ID",
        help="unseal the evidence picture of this decision, into --out",
    )
    subs["export"].add_argument(
        "--format",
        choices=("jsonl", "csv"),
        default="jsonl",
        help="JSON lines or CSV (default %(default)s)",
    )
    subs["show"].add_argument("--out", type=Path, metavar="FILE", help="where the picture goes")
    for name in ("export", "checkpoint"):
        subs[name].add_argument("--out", type=Path, metavar="FILE", help="default: standard output")


def _add_verify(sub: argparse.ArgumentParser) -> None:
    where = sub.add_mutually_exclusive_group(required=True)
    common.add_config(where, required=False)
    where.add_argument(
        "--folder",
        type=Path,
        metavar="FOLDER",
        help="one record, or a copy of it, without a configuration",
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
    sub.add_argument("--dry-run", action="store_true", help="only say how many")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS_MAX):
        raise argparse.ArgumentTypeError(f"expected how many, such as 20, found {text!r}")
    return int(text)


def _evidence_key(config: TerminalConfig) -> bytes | None:
    """None for readers without the right to it: what helps whoever tries out faces stays redacted."""
    from edge.gallery.store import read_evidence_key

    try:
        return read_evidence_key(config)
    except (MfsaError, OSError):
        return None


def _unseal(config: TerminalConfig) -> DecryptFields | None:
    from edge.audit.sealing import score_cipher

    key = _evidence_key(config)
    return score_cipher(key, config.terminal).decrypt_fields if key else None


def _init(config: TerminalConfig, args: argparse.Namespace) -> int:
    for place in log_locations(config):
        print(f"{place.name}: {provision_log(place.folder, place.key_path)}")
    if config.record.verification_key_dir is None:
        print(f"still to do: {KEYS_NEXT_TO_LOGS}; {SET_KEYS}")
    return common.DONE


def _show(config: TerminalConfig, args: argparse.Namespace) -> int:
    if (args.picture is None) != (args.out is None):
        raise ConfigError(
            "--picture and --out belong together: the number of a decision, and the file for its picture"
        )
    if args.picture is not None:
        return _picture(config, args.picture, args.out)
    unseal = _unseal(config)
    _warn_of_invalid_segments(log_locations(config, args.record))
    streams = [
        _named(place.name, read_records(place.folder, unseal, args.since))
        for place in log_locations(config, args.record)
    ]
    seen = _Seen(args)
    found: Iterable[Told] = filter(
        seen.wants, heapq.merge(*streams, key=lambda named: formatting.unix_time(named[1]))
    )
    table = _Table(config, args.json)
    for named in deque(found, maxlen=args.last) if args.last is not None else found:
        table.show(named)
    seen.check()
    return common.DONE


def _warn_of_invalid_segments(shown: Iterable[LogLocation]) -> bool:
    """Print the files that are left out; return True if there are any."""
    found = False
    for place in shown:
        for name, why in list(invalid_segments(place.folder).items())[:_SHOWN]:
            words = f"{place.folder / name}: left out: {why}"
            print(f"edge-audit: warning: {words}; see edge-audit verify", file=sys.stderr)
            found = True
    return found


def _named(name: str, found: Iterable[dict[str, Any]]) -> Iterator[Told]:
    return ((name, record) for record in found)


def _picture(config: TerminalConfig, record_id: int, out: Path) -> int:
    from edge.audit.picture_store import read_picture
    from edge.audit.sealing import picture_cipher

    common.check_out(out)
    key = _evidence_key(config)
    if key is None:
        raise RecordError(
            f"{config.key_path}: pictures are sealed by a key made of the gallery's, which cannot be read; run this as root"
        )
    write_atomic(
        out, read_picture(config.pictures_path, record_id, picture_cipher(key, config.terminal))
    )
    print(out)
    return common.DONE


def _is_named(record: Mapping[str, Any], field: str, name: str) -> bool:
    """Return True if a field holds a name, in any spelling."""
    found = record.get(field)
    return isinstance(found, str) and name_key(found) == name_key(name)


class _Seen:
    """Filter of the command line, with a check that its kind and subject exist."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._subject, self._kind = args.subject, args.kind
        self._has_subject = args.subject is None
        self._has_kind = args.kind is None or args.kind in KINDS

    def wants(self, named: Told) -> bool:
        """Return True if a record is to be shown."""
        record = named[1]
        kinds = (record.get("kind"), record.get("event"), record.get("verdict"))
        is_kind = self._kind is None or self._kind in kinds
        is_subject = self._subject is None or any(
            _is_named(record, field, self._subject) for field in ("subject", "other")
        )
        self._has_kind |= is_kind
        self._has_subject |= is_subject
        return is_kind and is_subject

    def check_kind(self) -> None:
        """Raise ConfigError for a kind that no record has."""
        if not self._has_kind:
            known = ", ".join(sorted(KINDS))
            raise ConfigError(f"--kind {self._kind!r}: unknown kind; expected one of {known}")

    def check(self) -> None:
        """Raise ConfigError or RecordError if no record matched; call it after all records."""
        self.check_kind()
        if not self._has_subject:
            raise RecordError(
                f"no record of subject {self._subject!r}; names are erased after "
                "`record.redact_after_days`, edge-gallery list shows who is enrolled"
            )


class _Table:
    """Printer of records: rows below a heading, or JSON."""

    def __init__(self, config: TerminalConfig, as_json: bool) -> None:
        self._zone = config.door.schedule.zone
        self._as_json = as_json
        self._has_heading = as_json

    def show(self, named: Told) -> None:
        """Print one record."""
        name, record = named
        if self._as_json:
            print(json.dumps({"record": name, **record}), flush=True)
            return
        if not self._has_heading:
            self._has_heading = True
            print(formatting.table_heading())
        print(formatting.table_line(name, record, self._zone), flush=True)


def _follow(config: TerminalConfig, args: argparse.Namespace) -> int:
    unseal, seen, table = _unseal(config), _Seen(args), _Table(config, args.json)
    seen.check_kind()
    streams = {
        place.name: follow_records(place.folder, unseal)
        for place in log_locations(config, args.record)
    }
    while True:
        for name, stream in streams.items():
            while (record := next(stream)) is not None:
                if seen.wants((name, record)):
                    table.show((name, record))
        time.sleep(_POLL_S)


def _export(config: TerminalConfig, args: argparse.Namespace) -> int:
    from tqdm import tqdm

    common.check_out(args.out)
    if args.out:
        check_replaceable(args.out)
    (place,) = log_locations(config, args.record)
    _warn_of_invalid_segments([place])
    size = sum(
        path.stat().st_size for path in segments_since(list_segments(place.folder), args.since)
    )
    last_id = args.since
    fresh = args.out.with_name(f".{args.out.name}.part") if args.out else None
    file = _open_fresh(fresh) if fresh else sys.stdout
    try:
        with tqdm(
            total=size, unit="B", unit_scale=True, disable=None, delay=1.0, leave=False
        ) as bar:
            found = read_records(place.folder, _unseal(config), args.since, progress=bar.update)
            for text, number in formatting.export_lines(place.name, found, args.format):
                file.write(text)
                last_id = max(last_id, number)
        if fresh:
            file.close()
            fresh.replace(args.out)
    finally:
        if fresh:
            file.close()
            fresh.unlink(missing_ok=True)
    print(f"go on with: --since {last_id}", file=sys.stderr if fresh is None else sys.stdout)
    return common.DONE


def _open_fresh(path: Path) -> TextIO:
    """Open a new file for the owner of its folder only: it holds names. Raises OSError."""
    with acting_as_owner(path.parent):
        path.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", newline="")


def _places(args: argparse.Namespace) -> list[LogLocation]:
    """Return the logs that a checkpoint may belong to. Raises ConfigError, RecordError."""
    return (
        log_locations(load_config(args.config))
        if args.folder is None
        else [copied_log(args.folder, args.key)]
    )


def _verify(every: list[LogLocation], args: argparse.Namespace) -> int:
    checkpoint = _load_checkpoint(every, args)
    code, told = common.DONE, {}
    for place in every:
        if args.record not in (None, place.name):
            continue
        report = _verified(place, checkpoint)
        code = common.FAILED if report.findings else code
        if args.json:
            told[place.name] = {
                "first": report.first_id, "last": report.last.id if report.last else 0, "records": report.records,
                "authentic": report.authentic, "notes": report.notes, "findings": [asdict(each) for each in report.findings],
            }  # fmt: skip
        else:
            _tell_report(
                place, report, expected=checkpoint is not None and checkpoint.log_id == place.log_id
            )
    if args.json:
        print(json.dumps(told))
    return code


def _verified(place: LogLocation, checkpoint: Checkpoint | None = None) -> VerificationReport:
    from tqdm import tqdm

    expected = (
        ExpectedRecord(checkpoint.id, bytes.fromhex(checkpoint.hash))
        if checkpoint is not None and checkpoint.log_id == place.log_id
        else None
    )
    size = sum(path.stat().st_size for path in list_segments(place.folder))
    with tqdm(
        total=size, unit="B", unit_scale=True, disable=None, delay=1.0, leave=False, desc=place.name
    ) as bar:
        return place.verify(expected, bar.update)


def _load_checkpoint(every: list[LogLocation], args: argparse.Namespace) -> Checkpoint | None:
    """Read the checkpoint file; its signature is checked if a key is available."""
    from edge.audit.checkpoint import public_key_hex, read_checkpoint, signing_key

    if args.checkpoint is None:
        return None
    try:
        text = args.checkpoint.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{args.checkpoint}: cannot be read; name a file that `edge-audit checkpoint` made"
        ) from error
    checkpoint = read_checkpoint(text, None)
    place = next((place for place in every if place.log_id == checkpoint.log_id), None)
    if place is None:
        raise RecordError(
            f"{args.checkpoint}: is of {checkpoint.log_id}, expected one of {', '.join(place.log_id for place in every)}"
        )
    first, _ = place.verification_keys()
    public = args.public_key or (public_key_hex(signing_key(first)) if first else None)
    if public is None:
        print(
            "note: the checkpoint's signature was not checked: no verification key here, and no "
            "--public-key",
            file=sys.stderr,
        )
    return read_checkpoint(text, public)


def _key_advice(place: LogLocation) -> str:
    """Return where the verification key of a log that was verified without it can be."""
    if place.key_path == default_key_path(place.folder):
        return (
            "name the key with --key, or the folder of the keys with `record.verification_key_dir`"
        )
    return f"run this as root, or restore {place.key_path} (`record.verification_key_dir`) from your backup"


def _tell_report(place: LogLocation, report: VerificationReport, *, expected: bool) -> None:
    if report.last is None:
        print(f"{place.name}: no records")
    else:
        how = (
            "chain and MACs fit"
            if report.authentic == report.records
            else f"MACs of {report.authentic} checked and fit"
        )
        if not report.authentic:
            how = (
                "only the chain was checked: without the verification key, a log rewritten from some "
                f"record on is not found; {_key_advice(place)}"
            )
        print(
            f"{place.name}: {report.records} records, {report.first_id} to {report.last.id}; {how}"
        )
    for note in report.notes:
        print(f"  note: {note}")
    for finding in report.findings[:_SHOWN]:
        print(f"  FOUND {finding}")
    if (more := len(report.findings) + report.unlisted - _SHOWN) > 0:
        print(f"  and {more} more; --json has {len(report.findings)} of them")
    if report.last is not None and not expected:
        at = formatting.utc_time(report.last.public)
        print(
            f"  whether more was there after record {report.last.id} ({at} UTC) only a checkpoint shows: --checkpoint"
        )


def _checkpoint(config: TerminalConfig, args: argparse.Namespace) -> int:
    from edge.audit.checkpoint import Checkpoint, public_key_hex, signing_key

    common.check_out(args.out)
    (place,) = log_locations(config, args.record)
    key = signing_key(place.verification_keys()[0])
    if args.public_key:
        print(public_key_hex(key))
        return common.DONE
    report = _verified(place)
    if report.last is None:
        raise RecordError(f"{place.folder}: no records, nothing to sign")
    if report.findings and not args.force:
        raise RecordError(
            f"{len(report.findings)} findings in {place.folder}; run edge-audit verify, or sign with --force"
        )
    text = Checkpoint(
        place.log_id,
        report.last.id,
        report.last.hash.hex(),
        formatting.unix_time(report.last.public),
    ).sign(key)
    if args.out:
        with acting_as_owner(args.out.parent):
            write_atomic(args.out, text.encode(), 0o644)
    else:
        print(text, end="")
    return common.DONE


def _erase(config: TerminalConfig, args: argparse.Namespace) -> int:
    from edge.audit.picture_store import picture_path

    before = None
    if args.before is not None:
        midnight = datetime.combine(args.before, clock_time(), config.door.schedule.zone)
        before = midnight.timestamp()

    def wanted(line: ChainLine) -> bool:
        told = parse_record(b"{}\t" + line.personal) or {}
        if not told or before is not None:  # nothing readable: what an erasure left half done
            return not told or formatting.trusted_time(line.public) < (before or 0.0)
        return any(_is_named(told, field, args.subject) for field in _NAMED)

    verb, is_found = "would be" if args.dry_run else "are", False
    is_partial = _warn_of_invalid_segments(log_locations(config))
    for place in log_locations(config):
        with acting_as_owner(place.folder):
            lines = [
                line
                for path in list_segments(place.folder)
                for step in erase_personal_parts(path, wanted, dry=args.dry_run)
                for line in step
            ]
            pictures = (
                [picture_path(config.pictures_path, line.id) for line in lines]
                if place.name == "decisions"
                else []
            )
            pictures = [path for path in pictures if path.exists()]
            for path in pictures if not args.dry_run else ():
                path.unlink(missing_ok=True)
        more = f", {len(pictures)} pictures {verb} removed" if pictures else ""
        print(f"{place.name}: {len(lines)} personal parts {verb} erased{more}")
        is_found |= bool(lines)
    if args.subject is not None and not is_found:
        words = f"no record names {args.subject!r}; check the spelling with edge-audit show"
        print(f"edge-audit: warning: {words}", file=sys.stderr)
    return common.FAILED if is_partial else common.DONE


if __name__ == "__main__":
    sys.exit(main())
