"""Targets of the door process.

Its packets, the replies of the running service, and the audit log that it reads after a restart.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import shutil
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.reader import read_log, read_tail, record_id
from edge.audit.verify import verify_log
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import VerificationKey, default_key_path, read_keys, read_state
from edge.door import protocol
from edge.door.hardware import DoorHardware
from edge.door.paths import DoorPaths
from edge.door.readers.reader_set import ReaderSet
from edge.door.record import load_previous_run
from edge.door.service import DoorService
from edge.door.simulated_backend import SimulatedRelayOutput
from edge.errors import DoorError, RecordError
from edge.values import Grant
from tests.doors import make_settings, make_timing
from tests.fuzz.source import Source, corrupted, edited
from tests.fuzz.target import Run, Target, expect

_TURN_S = 0.7
_BEGINNING_S = 1000.0
_STATUS: dict[str, Any] = {"v": 1, "kind": "status"}
_COMMAND: dict[str, Any] = {
    "v": 1,
    "kind": "command",
    "command": "lockdown",
    "argument": "",
    "note": "why",
}


def _grant(at: float) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "grant",
        "id": "g1",
        "subject": "Ada",
        "record_id": 1,
        "frame_at": at,
        "lane": "main",
        "masked": False,
        "claimed": False,
    }


def _packet(source: Source, now: float) -> bytes:
    mode = source.number(3)
    if mode == 0:
        return source.rest()
    tree = source.choose([_grant(now - 0.1), _COMMAND, _STATUS])
    if mode == 1:
        return corrupted(json.dumps(tree).encode(), source)
    if source.number(2):  # a valid one with another number, or another command
        key = {"grant": "id", "command": "command"}.get(tree["kind"], "kind")
        commands = ["lockdown", "unlock", "hold", "release", "reset-fire", "reset-tamper", "x"]
        return json.dumps(
            {**tree, key: source.choose(commands) if key == "command" else source.text()}
        ).encode()
    try:
        return json.dumps(edited(tree, source)).encode()
    except ValueError:
        return b""


def _parsed(packet: bytes) -> Grant | tuple[str, str] | None:
    kind, fields = protocol.decode(packet)
    return (
        protocol.parse_grant(fields)
        if kind == "grant"
        else protocol.parse_command(fields)
        if kind == "command"
        else None
    )


def _open_packets(folder: Path, at_end: ExitStack) -> Run:
    def run(data: bytes) -> None:
        with contextlib.suppress(DoorError):
            found = _parsed(_packet(Source(data), _BEGINNING_S))
            if isinstance(found, Grant):
                again = (
                    protocol.encode("grant", protocol.grant_fields(found))
                    if math.isfinite(found.frame_at)
                    else None
                )
                expect(
                    again is None or _parsed(again) == found,
                    "a grant does not survive its own encoding",
                )

    return run


class _NoDisk(AuditLogWriter):
    """Takes every record and keeps none, so that a run of hours needs no room.

    Refuses what a disk would refuse.
    """

    def append(self, fields: dict[str, Any], *, durable: bool = True) -> int:
        self.taken = getattr(self, "taken", 0) + 1
        json.dumps(fields, allow_nan=False).encode()
        return self.taken


def _open_service(folder: Path, at_end: ExitStack) -> Run:
    """Send all packets of a run to one door over a real socket; each advances the clock."""
    now = [_BEGINNING_S]
    relay = SimulatedRelayOutput(lambda: now[0])
    path = folder / "door.sock"
    service = DoorService(
        make_settings(timing=make_timing(pulse_s=1.0)),
        DoorHardware(relay),
        AsyncLogWriter(lambda: _NoDisk(folder / "door")),
        DoorPaths.in_folder(folder),
        ReaderSet({}, time.monotonic),
        clock=lambda: now[0],
    )
    peers: list[socket.socket] = []
    at_end.callback(service.close)
    at_end.callback(lambda: [peer.close() for peer in peers])

    def connected() -> socket.socket:
        while not peers:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            peer.setblocking(False)
            peer.connect(str(path))
            peers.append(peer)
            service.step()
        return peers[0]

    def run(data: bytes) -> None:
        now[0] += _TURN_S
        before = relay.energised
        packet = _packet(Source(data), now[0])[: protocol.PACKET_MAX * 2]
        if not packet:
            return
        connected().send(packet)
        service.step()
        answer = connected().recv(1 << 16)
        kind, fields = protocol.decode(answer)
        expect(len(answer) <= protocol.PACKET_MAX, f"an answer of {len(answer)} bytes")
        expect(kind in ("granted", "refused", "done", "status"), f"an answer of kind {kind!r}")
        expect(kind != "refused" or bool(fields.get("reason")), "refused without a reason")
        try:
            asked = _parsed(packet[: protocol.PACKET_MAX])
        except DoorError:
            asked = None
        expect(
            asked is not None or relay.energised <= before,
            "the lock was opened by a packet that asks for nothing",
        )

    return run


_EVENTS: list[dict[str, Any]] = [
    {"event": "started", "reason": "locked", "at": 1.0, "latches": []},
    {
        "event": "operator-command",
        "reason": "lockdown",
        "at": 2.0,
        "operator": "root",
        "note": "why",
        "latches": ["lockdown"],
    },
    {
        "event": "unlocked",
        "reason": "grant",
        "at": 3.0,
        "subject": "Ada",
        "grant_id": "g",
        "record_id": 7,
        "latches": [],
    },
    {
        "event": "stopped",
        "reason": "locked",
        "at": 4.0,
        "latches": ["lockdown", "fire"],
        "latest_believed": 1767225602.0,
    },
]


def _write(folder: Path) -> dict[str, bytes]:
    """An audit log of two segments, its state and its verification key, by relative path."""
    log = AuditLogWriter(folder, log_id="lobby/door", segment_bytes=900, wall=lambda: 1.8e9)
    for event in _EVENTS:
        log.append(event)
    log.close()
    return {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in [*folder.iterdir(), default_key_path(folder)]
    }


def _line(line: bytes, source: Source) -> bytes:
    """Return the line with other bytes, or with other fields in one of its two parts."""
    public, tab, personal = line.partition(b"\t")
    mode = source.number(4)
    try:
        if mode == 0:
            return json.dumps(edited(json.loads(public), source)).encode() + tab + personal
        if mode == 1:
            return public + tab + json.dumps(edited(json.loads(personal or b"{}"), source)).encode()
    except ValueError:
        return b""
    return (
        corrupted(line, source) if mode == 2 else source.text().encode("utf-8", "surrogateescape")
    )


def _corrupt(content: bytes, source: Source) -> bytes:
    lines = content.split(b"\n")
    mode = source.number(6)
    at = source.number(len(lines))
    if mode == 0:
        return corrupted(content, source)
    if mode == 1:
        del lines[at]
    elif mode == 2:
        lines.insert(source.number(len(lines)), lines[at])
    elif mode == 3:
        return content[: source.number(len(content) + 1)]
    else:
        lines[at] = _line(lines[at], source)
    return b"\n".join(lines)


def _open_records(folder: Path, at_end: ExitStack) -> Run:
    """Read, verify and continue a door's log with one or two corrupted files."""
    original = _write(folder / "door")
    place, key_path = folder / "door", default_key_path(folder / "door")
    names = sorted(original)
    found: dict[str, bytes] = {}

    def put(data: bytes) -> None:
        source = Source(data)
        shutil.rmtree(place)
        place.mkdir()
        found.clear()
        found.update(original)
        if source.number(5) == 0:
            found[source.choose(names)] = source.rest()
        for _ in range(1 + source.number(2)):
            name = source.choose(names)
            found[name] = _corrupt(found[name], source)
            if source.number(16) == 0:
                del found[name]
                found[name] = b""
        for name, content in found.items():
            (folder / name).write_bytes(content)

    def run(data: bytes) -> None:
        put(data)
        before = read_log(place)
        with contextlib.suppress(RecordError):
            read_tail(place)
        past = load_previous_run(place)
        expect(
            past.error is None or past.latches.lockdown,
            "the past cannot be read and the door is not in lockdown",
        )
        expect(
            math.isfinite(past.clock.latest),
            "no clock can be compared with the latest time of the past",
        )
        first: list[VerificationKey] = []
        with contextlib.suppress(RecordError):
            first = read_keys(key_path)
        state = read_state(place)
        report = verify_log(place, first, log_id="lobby/door", state=state)
        changed = [name for name in names if found[name] != original[name]]
        if changed and all(
            name.endswith(".log") for name in changed
        ):  # an attacker who writes the state too may truncate
            expect(bool(report.findings or report.notes), "a changed record was not found")
            expect(
                bool(report.findings) or _is_erased(found, original, changed),
                "a record was changed, and it is only a note",
            )
        with contextlib.suppress(RecordError):
            log = AuditLogWriter(place, log_id="lobby/door", segment_bytes=900, wall=lambda: 1.8e9)
            try:
                log.append({"event": "started", "latches": []})
                after = read_log(place)
                stay = [
                    r for r in before if state is None or record_id(r) <= state.durable
                ]  # what was on disk for certain
                expect(
                    all(r in after for r in stay) and after[-1].get("event") == "started",
                    "it does not go on",
                )
            finally:
                log.close()
        verify_log(place, first, log_id="lobby/door", state=read_state(place))

    return run


def _is_erased(found: dict[str, bytes], original: dict[str, bytes], changed: list[str]) -> bool:
    """Return True if only personal parts are missing, or an unfinished line was added."""
    for name in changed:
        for before, after in itertools.zip_longest(
            original[name].split(b"\n"), found[name].split(b"\n")
        ):
            public = (before or b"").partition(b"\t")[0]
            is_blank = (
                after is not None
                and after.partition(b"\t")[0] == public
                and not after.partition(b"\t")[2].strip(b" ")
            )
            if after != before and not is_blank and before:
                return False
    return True


def _packet_seeds() -> list[bytes]:
    raw = [b"\0" + json.dumps(tree).encode() for tree in (_grant(_BEGINNING_S), _COMMAND, _STATUS)]
    valid, corrupted_ones = (
        [bytes([2, n, n // 3, 3, 65, 66, 67]) for n in range(12)],
        [bytes([1, n, 3, n, 5]) for n in range(9)],
    )
    return [*raw, b"\0" + b"[" * 3000, *valid, *corrupted_ones]


def _record_seeds() -> list[bytes]:
    return [
        b"\0\0" + json.dumps(_EVENTS).encode(),
        *(bytes([n, n, n, n + 1, n % 4, 3, n, 7, 7, n]) for n in range(1, 40)),
    ]


TARGETS = (
    Target("packet", "the protocol of the door process", _open_packets, _packet_seeds),
    Target(
        "service",
        "answers over the socket; no malformed packet unlocks",
        _open_service,
        _packet_seeds,
    ),
    Target(
        "record",
        "audit logs: reader, `load_previous_run`, `verify`, writer states, keys, and continued "
        "writing",
        _open_records,
        _record_seeds,
    ),
)
