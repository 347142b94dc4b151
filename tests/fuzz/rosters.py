"""Fuzz targets of bulk enrollment: the list of people with its folders, and the report."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from edge.errors import ConfigError, RecordError
from edge.gallery.enrollment.bulk import BulkOptions
from edge.gallery.enrollment.journal import EnrollmentJournal
from edge.gallery.enrollment.photos import QualityRequirements
from edge.gallery.enrollment.roster import COLUMNS, read_roster
from edge.names import check_name
from tests.fuzz.source import Source, corrupted, edited
from tests.fuzz.target import Run, Target, expect

_ROWS = [
    list(COLUMNS),
    [
        "Ada",
        "",
        "staff;night",
        "2026-01-01",
        "2027-01-01",
        "yes",
        "any",
        "no-challenge",
        "form 7",
        "2030-01-01",
    ],
    ["Eve", "eve.jpg;Ada/1.png", "", "", "", "no", "as-configured", "", "", ""],
    ["Bob", "more/Bob", "", "", "", "", "", "", "", ""],
]
# Names and cells that lead out of the folder or are easily misread.
_CELLS = (
    "Ada/..",
    "out",
    "circle/1.jpg",
    "more",
    "\u0661",
    "2026-02-29",
    "=1+1",
    "\ufeff",
    "A" * 128,
    "\U0001f600" * 128,
    "Ada;Ada",
    ";",
    "\\",
    "\u202eadA",
    "no",
    "YES",
    "x" * 300,
    "Ada/1.png/2",
    "\0",
)
_REPORTED = {
    "subject": "Ada",
    "digest": "d",
    "enrolled": True,
    "dry_run": False,
    "stored": 1,
    "reason": "",
    "photos": [],
}


def _csv(rows: Any) -> bytes:
    written = io.StringIO()
    with contextlib.suppress(csv.Error, TypeError):
        writer = csv.writer(written)
        for row in rows if isinstance(rows, list) else [rows]:
            writer.writerow(row if isinstance(row, list) else [row])
    return written.getvalue().encode("utf-8", "surrogatepass")


def _rows(source: Source) -> Any:
    """Change one to four cells, half of the time to values that are hard to parse."""
    if source.number(2):
        return edited(_ROWS, source)
    rows = [list(row) for row in _ROWS]
    for _ in range(1 + source.number(4)):
        row = source.choose(rows)
        row[source.number(len(row))] = source.choose(_CELLS)
    return rows


def _folders(folder: Path) -> Path:
    photos = folder / "photos"
    for name in (
        "Ada/1.png",
        "Ada/2.JPG",
        "Ada/.hidden.png",
        "eve.jpg",
        "more/Bob/1.jpeg",
        "more/notes.txt",
    ):
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (folder / "secret.jpg").touch()
    (photos / "out").symlink_to(folder)
    (photos / "circle").symlink_to(photos / "circle")
    return photos


def _open_list(folder: Path, at_end: ExitStack) -> Run:
    path, photos = folder / "people.csv", _folders(folder)
    options = BulkOptions(
        QualityRequirements("standard", 60),
        min_photos=1,
        masked_templates=False,
        replace=False,
        dry_run=False,
    )

    def run(data: bytes) -> None:
        source = Source(data)
        mode = source.number(4)
        path.write_bytes(
            source.rest()
            if mode == 0
            else corrupted(_csv(_ROWS), source)
            if mode == 1
            else _csv(_rows(source))
        )
        try:
            entries = read_roster(path, photos)
        except ConfigError as error:
            expect(bool(str(error)), "an error without a message")
            return
        expect(
            len({entry.subject for entry in entries}) == len(entries) > 0,
            "no people, or one person twice",
        )
        for entry in entries:
            check_name(entry.subject)
            expect(bool(entry.photos), "a person without photos")
            for photo in entry.photos:
                expect(
                    photo.is_file() and photo.resolve().is_relative_to(photos.resolve()),
                    f"a photo elsewhere: {photo}",
                )
            options.digest(entry, ["0" * 64])

    return run


def _open_report(folder: Path, at_end: ExitStack) -> Run:
    path = folder / "report.jsonl"
    lines = (json.dumps(_REPORTED) + "\n") * 2

    def run(data: bytes) -> None:
        source = Source(data)
        mode = source.number(3)
        content = (
            source.rest()
            if mode == 0
            else corrupted(lines.encode(), source)
            if mode == 1
            else _line(source)
        )
        path.write_bytes(content)
        try:
            journal = EnrollmentJournal(path)
        except RecordError:
            expect(path.read_bytes() == content, "a refused file was changed")
            return
        with closing(journal):
            expect(
                not journal.is_enrolled("Zoe", lambda: "d"),
                "a person who was never reported is enrolled",
            )
            journal.is_enrolled("Ada", lambda: "d")
        left = path.read_bytes()
        expect(
            content.startswith(left) and b"\n" not in content[len(left) :],
            "more than the last line was removed",
        )

    return run


def _line(source: Source) -> bytes:
    try:
        return json.dumps(edited(_REPORTED, source)).encode() + b"\n"
    except ValueError:
        return b""


def _seeds() -> Sequence[bytes]:
    return [bytes([n % 4, n % 5, n, n % 7, n, 3 * n % 256, n % 3, n, 5, n]) for n in range(60)]


TARGETS = (
    Target(
        "bulk",
        "lists of people (CSV) and their folders of photos",
        _open_list,
        lambda: [
            b"\0" + _csv(_ROWS),
            b'\0subject\n"',
            b"\0\xef\xbb\xbfsubject\r\nAda\r\n",
            *_seeds(),
        ],
    ),
    Target(
        "report",
        "reports from which a bulk enrollment continues",
        _open_report,
        lambda: [b"\0" + b"[" * 3000 + b"\n", b"\0" + json.dumps(_REPORTED).encode(), *_seeds()],
    ),
)
