"""`edge-audit show`, `follow` and `export`."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.audit import formatting
from edge.audit.locations import log_locations
from edge.audit.reader import DecryptFields, follow_records, read_records, segments_since
from edge.audit.segments import list_segments
from edge.cli import common
from edge.cli.audit_filter import NamedRecord, RecordFilter, warn_of_invalid_segments
from edge.config import TerminalConfig
from edge.errors import ConfigError, MfsaError, RecordError
from edge.system.atomic_files import replace_file, write_atomic

_POLL_S = 0.2


def show(config: TerminalConfig, args: argparse.Namespace) -> int:
    """Print records of both logs by time, or write an evidence picture."""
    if (args.picture is None) != (args.out is None):
        raise ConfigError(
            "--picture and --out belong together: the id of a decision and the file for its picture"
        )
    if args.picture is not None:
        return _write_picture(config, args.picture, args.out)
    locations = log_locations(config, args.record)
    decrypt = _field_decryption(config)
    warn_of_invalid_segments(locations)
    streams = [
        _named(location.name, read_records(location.folder, decrypt, args.since))
        for location in locations
    ]
    record_filter, table = RecordFilter(args), _Table(config, args.json)
    found: Iterable[NamedRecord] = filter(
        record_filter.is_selected,
        heapq.merge(*streams, key=lambda named: formatting.unix_time(named[1])),
    )
    for named in deque(found, maxlen=args.last) if args.last is not None else found:
        table.print(named)
    record_filter.check()
    return common.DONE


def follow(config: TerminalConfig, args: argparse.Namespace) -> int:
    """Print new records until the process is ended."""
    decrypt, record_filter = _field_decryption(config), RecordFilter(args)
    table = _Table(config, args.json)
    record_filter.check_kind()
    streams = {
        location.name: follow_records(location.folder, decrypt)
        for location in log_locations(config, args.record)
    }
    while True:
        for name, stream in streams.items():
            while (record := next(stream)) is not None:
                if record_filter.is_selected((name, record)):
                    table.print((name, record))
        time.sleep(_POLL_S)


def export(config: TerminalConfig, args: argparse.Namespace) -> int:
    """Write the records of one log as JSON lines or CSV."""
    from tqdm import tqdm

    common.check_output_files(args.out)
    (location,) = log_locations(config, args.record)
    warn_of_invalid_segments([location])
    paths = segments_since(list_segments(location.folder), args.since)
    size, last_id = sum(path.stat().st_size for path in paths), args.since
    with (
        _output(args.out) as write,
        tqdm(total=size, unit="B", unit_scale=True, disable=None, delay=1.0, leave=False) as bar,
    ):
        found = read_records(
            location.folder, _field_decryption(config), args.since, progress=bar.update
        )
        for text, number in formatting.export_lines(location.name, found, args.format):
            write(text)
            last_id = max(last_id, number)
    print(f"next export: --since {last_id}", file=sys.stdout if args.out else sys.stderr)
    return common.DONE


@contextmanager
def _output(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Return a function that writes text to a new file or standard output."""
    if path is None:
        yield sys.stdout.write
        return
    with replace_file(path) as file:
        yield lambda text: file.write(text.encode())


def _write_picture(config: TerminalConfig, record_id: int, out: Path) -> int:
    from edge.audit.picture_store import read_picture
    from edge.audit.sealing import picture_cipher

    common.check_output_files(out)
    key = _evidence_key(config)
    if key is None:
        raise RecordError(
            f"{config.key_path}: the gallery key, which encrypts pictures, cannot be read; "
            "run this as root"
        )
    cipher = picture_cipher(key, config.terminal)
    write_atomic(out, read_picture(config.pictures_path, record_id, cipher))
    print(out)
    return common.DONE


def _evidence_key(config: TerminalConfig) -> bytes | None:
    """Return the key of scores and pictures; None if this account may not read it."""
    from edge.gallery.store import read_evidence_key

    try:
        return read_evidence_key(config)
    except (MfsaError, OSError):
        return None


def _field_decryption(config: TerminalConfig) -> DecryptFields | None:
    """Return the decryption of sealed fields; None: they are shown as redacted."""
    from edge.audit.sealing import score_cipher

    key = _evidence_key(config)
    return score_cipher(key, config.terminal).decrypt_fields if key else None


def _named(name: str, found: Iterable[dict[str, Any]]) -> Iterator[NamedRecord]:
    return ((name, record) for record in found)


class _Table:
    """Printer of records: rows below a heading, or JSON."""

    def __init__(self, config: TerminalConfig, as_json: bool) -> None:
        self._zone = config.door.schedule.zone
        self._as_json = as_json
        self._has_heading = as_json

    def print(self, named: NamedRecord) -> None:
        """Print one record."""
        name, record = named
        if self._as_json:
            print(json.dumps({"record": name, **record}), flush=True)
            return
        if not self._has_heading:
            self._has_heading = True
            print(formatting.table_heading())
        print(formatting.table_line(name, record, self._zone), flush=True)
