"""Targets of the readers of audit logs.

Checkpoints, encrypted scores and pictures, and table rows of any record.
"""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timezone
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.audit import formatting
from edge.audit.checkpoint import Checkpoint, public_key_hex, read_checkpoint
from edge.audit.picture_store import list_pictures, read_picture
from edge.audit.reader import parse_record
from edge.audit.sealing import picture_cipher, score_cipher
from edge.audit.verify import ExpectedRecord, verify_log
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import default_key_path, read_keys, read_state
from edge.errors import RecordError
from edge.names import is_printable
from tests.fuzz.source import Source, corrupted, edited
from tests.fuzz.target import Run, Target, expect

_KEY, _TERMINAL = bytes(range(32)), "lobby"
_NUMBER = 7
_SCORES: dict[str, Any] = {
    "score": 0.9,
    "votes": 3,
    "attention": {"on_eyes": 0.4},
    "box_xyxy": [1, 2, 3, 4],
}
_RECORD: dict[str, Any] = {
    "id": _NUMBER,
    "wall": 1.8e9,
    "mono": 1.0,
    "kind": "decision",
    "verdict": "grant",
    "reason": "match",
    "model": "m",
    "commit": "0" * 64,
    "hash": "1" * 64,
    "mac": "2" * 32,
}


def _dumped(tree: Any) -> bytes:
    try:
        return json.dumps(tree).encode()
    except (ValueError, RecursionError):
        return b"{}"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _open_checkpoint(folder: Path, at_end: ExitStack) -> Run:
    """Read and verify checkpoints that are unsigned, signed, or signed by the log's key."""
    log = AuditLogWriter(folder / "door", log_id="lobby/door")
    for number in range(3):
        log.append({"event": "operator-command", "at": number, "latches": []})
    log.close()
    first, state = read_keys(default_key_path(folder / "door")), read_state(folder / "door")
    key = Ed25519PrivateKey.from_private_bytes(_KEY)
    public = public_key_hex(key)
    report = verify_log(folder / "door", first, state=state)
    assert report.last is not None
    checkpoint = Checkpoint("lobby/door", report.last.id, report.last.hash.hex(), 1.8e9)
    valid = checkpoint.sign(key).encode()

    def signed(tree: Any) -> bytes:
        """Return a checkpoint signed by the key, also with invalid fields."""
        try:
            return Checkpoint(**tree).sign(key).encode()
        except (TypeError, ValueError, RecursionError):
            return _dumped(tree)

    def run(data: bytes) -> None:
        source = Source(data)
        mode = source.number(5)
        by_key = mode == 4
        made = (
            source.rest,
            lambda: corrupted(valid, source),
            lambda: _dumped(edited(json.loads(valid), source)),
            lambda: valid,
            lambda: signed(edited(asdict(checkpoint), source)),
        )
        text = made[mode]()
        other_key = source.text() if mode == 3 else public
        for by in (None, other_key):
            with contextlib.suppress(RecordError):
                found = read_checkpoint(_text(text), by)
                expect(by is None or by_key or found == checkpoint, "another checkpoint is signed")
                expected = ExpectedRecord(found.id, bytes.fromhex(found.hash))
                after = verify_log(folder / "door", first, state=state, expected=expected)
                is_so = (expected.id, expected.hash) == (
                    checkpoint.id,
                    bytes.fromhex(checkpoint.hash),
                )
                expect(
                    is_so == (not after.findings) or expected.id < report.first_id,
                    "a checkpoint that is not of this record fits",
                )
                expect(all(str(finding) for finding in after.findings), "a finding without words")

    return run


def _open_evidence(folder: Path, at_end: ExitStack) -> Run:
    """Decrypt scores and pictures, corrupted without the key or encrypted with it."""
    scores, cipher = score_cipher(_KEY, _TERMINAL), picture_cipher(_KEY, _TERMINAL)
    text, picture = json.dumps(_SCORES), b"\x89PNG picture"
    valid, sealed = (
        base64.b64decode(scores.encrypt_text(_NUMBER, text)),
        cipher.encrypt(_NUMBER, picture),
    )

    def score(source: Source) -> None:
        mode = source.number(5)
        number = _NUMBER if mode else source.number(20)
        plain = (
            _dumped(edited(_SCORES, source)) if mode == 3 else source.rest() if mode == 4 else b""
        )
        given = {
            0: valid, 1: corrupted(valid, source), 2: source.rest(),
            3: scores.encrypt(_NUMBER, zlib.compress(plain)), 4: scores.encrypt(_NUMBER, plain),
        }[mode]  # fmt: skip
        fields = scores.decrypt_fields(
            number, base64.b64encode(given).decode() if source.number(8) else _text(given)
        )
        expect(fields is None or isinstance(fields, dict), "a value that is no object")
        expect(
            fields is None or mode > 2 or (fields == _SCORES and number == _NUMBER),
            "scores that were never sealed so",
        )

    def photo(source: Source) -> None:
        for old in folder.iterdir():
            old.unlink()
        number = source.number(20)
        names = [
            f"{number:09d}.sealed",
            source.text().replace("/", "").replace("\0", "")[:60] + ".sealed",
            "x.png",
        ]
        for name in names:
            with contextlib.suppress(OSError, UnicodeError):  # no name for a file
                (folder / name).write_bytes(
                    corrupted(sealed, source) if source.number(3) else sealed
                )
        for found in {number, *list_pictures(folder)}:
            with contextlib.suppress(RecordError):
                expect(
                    read_picture(folder, found, cipher) == picture and found == _NUMBER,
                    "a picture that was never sealed so",
                )

    return lambda data: (photo if data[:1] > b"\xc0" else score)(Source(data[1:]))


def _open_rows(folder: Path, at_end: ExitStack) -> Run:
    """Format any line as a table row, a JSON line and CSV cells."""
    scores = score_cipher(_KEY, _TERMINAL)
    personal = {
        "salt": "0" * 32,
        "subject": "Ada",
        "note": "=1+1",
        "sealed": scores.encrypt_text(_NUMBER, json.dumps(_SCORES)),
    }

    def run(data: bytes) -> None:
        source = Source(data)
        mode = source.number(4)
        valid = _dumped(_RECORD) + b"\t" + _dumped(personal)
        if mode < 2:
            line = source.rest() if mode == 0 else corrupted(valid, source)
        else:
            halves = [
                edited(half, source) if source.number(3) else half for half in (_RECORD, personal)
            ]
            line = _dumped(halves[0]) + b"\t" + _dumped(halves[1])
        record = parse_record(line, scores.decrypt_fields)
        if record is None:
            return
        expect(isinstance(formatting.unix_time(record), float), "no moment to put it in order by")
        expect(
            is_printable(formatting.table_line("door", record, timezone.utc)),
            "a row of two lines, or one that a terminal obeys",
        )
        for form in ("jsonl", "csv"):
            for row, number in formatting.export_lines("door", [record], form):
                expect(isinstance(number, int) and row.endswith("\n"), "no row")
        for cell in formatting.csv_cells("door", record):
            expect(
                not cell.startswith(("=", "+", "@")) or cell[1:2].isdigit(),
                f"a formula: {cell[:40]!r}",
            )

    return run


def _seeds(modes: int) -> Sequence[bytes]:
    return [bytes([n % modes, n, n % 7, n, n % 5, 3, n, 1, 2, 3, n]) for n in range(60)]


TARGETS = (
    Target(
        "checkpoint",
        "checkpoints, against an audit log",
        _open_checkpoint,
        lambda: [b"\0{}", b"\0" + b"[" * 3000, *_seeds(5)],
    ),
    Target(
        "evidence",
        "encrypted scores and evidence pictures",
        _open_evidence,
        lambda: [
            b"\0\4" + zlib.compress(b"[" * 3000),
            *_seeds(5),
            *(bytes([255, *seed]) for seed in _seeds(5)),
        ],
    ),
    Target(
        "rows",
        "rows, cells and JSON that `edge-audit` prints for a line",
        _open_rows,
        lambda: [b"\0{}\t{}", b'\0{"id":"x","commit":""}\t{"sealed":"x"}', *_seeds(4)],
    ),
)
