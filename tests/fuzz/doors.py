"""Targets at the door: its packets, the answers of the whole service, and the record that it reads after a restart."""

from __future__ import annotations

import contextlib
import json
import math
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge.audit.log import BoundedLog, JsonLog, read_log, read_tail
from edge.door import protocol
from edge.door.conduct import Conduct
from edge.door.record import past_of
from edge.door.rules import DoorRules
from edge.door.service import DoorService
from edge.door.simulated import SimulatedRelay
from edge.door.wiring import Wiring
from edge.errors import DoorError, RecordError
from edge.values import Grant
from tests.fuzz.source import Source, edited, spoilt
from tests.fuzz.target import Run, Target, expect

_TURN_S = 0.7
_BEGINNING_S = 1000.0
_STATUS: dict[str, Any] = {"v": 1, "kind": "status"}
_COMMAND: dict[str, Any] = {"v": 1, "kind": "command", "command": "lockdown", "note": "why"}


def _grant(at: float) -> dict[str, Any]:
    return {"v": 1, "kind": "grant", "id": "g1", "subject": "Ada", "record_id": 1, "frame_at": at, "extended": False}


def _packet(source: Source, now: float) -> bytes:
    mode = source.number(3)
    if mode == 0:
        return source.rest()
    tree = source.choose([_grant(now - 0.1), _COMMAND, _STATUS])
    if mode == 1:
        return spoilt(json.dumps(tree).encode(), source)
    if source.number(2):  # a valid one with another number, or another command
        key = {"grant": "id", "command": "command"}.get(tree["kind"], "kind")
        commands = ["lockdown", "unlock", "hold", "release", "reset-fire", "reset-tamper", "x"]
        return json.dumps({**tree, key: source.choose(commands) if key == "command" else source.text()}).encode()
    try:
        return json.dumps(edited(tree, source)).encode()
    except ValueError:
        return b""


def _parsed(packet: bytes) -> Grant | tuple[str, str] | None:
    kind, fields = protocol.decode(packet)
    return protocol.parse_grant(fields) if kind == "grant" else protocol.parse_command(fields) if kind == "command" else None


def _open_packets(folder: Path, at_end: ExitStack) -> Run:
    def run(data: bytes) -> None:
        with contextlib.suppress(DoorError):
            found = _parsed(_packet(Source(data), _BEGINNING_S))
            if isinstance(found, Grant):
                again = protocol.encode("grant", protocol.grant_fields(found)) if math.isfinite(found.frame_at) else None
                expect(again is None or _parsed(again) == found, "a grant does not survive its own encoding")

    return run


class _NoDisk(JsonLog):
    """Takes every record and keeps none, so that a run of hours needs no room; refuses what a disk would refuse."""

    def append(self, fields: dict[str, Any], *, durable: bool = True) -> int:
        json.dumps(fields, allow_nan=False).encode()
        self._last_id += 1
        return self._last_id


def _open_service(folder: Path, at_end: ExitStack) -> Run:
    """One door for all packets of a run, over its real socket, with a clock that each packet moves on."""
    now = [_BEGINNING_S]
    relay = SimulatedRelay(lambda: now[0])
    path = folder / "door.sock"
    service = DoorService(
        Conduct(DoorRules(1.0)), Wiring(relay), BoundedLog(lambda: _NoDisk(folder / "door.jsonl")), path, clock=lambda: now[0]
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
        expect(asked is not None or relay.energised <= before, "the lock was opened by a packet that asks for nothing")

    return run


_LINES = [
    b'{"id":1,"wall":1767225601.0,"mono":1.0,"event":"started","reason":"locked","at":1.0,"latches":[]}\n',
    b'{"id":2,"wall":1767225602.0,"mono":2.0,"event":"asked","reason":"lockdown","at":2.0,"operator":"root","latches":["lockdown"]}\n',
    b'{"id":3,"wall":1767225603.0,"mono":3.0,"event":"stopped","reason":"locked","latches":["lockdown","fire"],"latest_believed":1767225602.0}\n',
]


def _line(source: Source) -> bytes:
    line = source.choose(_LINES)
    mode = source.number(4)
    if mode == 0:
        return line
    if mode == 1:
        return spoilt(line, source)
    if mode == 2:
        return source.text().encode("utf-8", "surrogateescape")
    try:
        return json.dumps(edited(json.loads(line), source)).encode() + b"\n"
    except ValueError:
        return b"\n"


def _open_records(folder: Path, at_end: ExitStack) -> Run:
    path = folder / "door.jsonl"

    def run(data: bytes) -> None:
        source = Source(data)
        written = b"".join(_line(source) for _ in range(1 + source.number(6))) if source.number(4) else source.rest()
        path.write_bytes(written)
        whole = read_log(path)
        with contextlib.suppress(RecordError):
            read_tail(path)
        past = past_of(path)
        expect(past.trouble is None or past.latches.lockdown, "the past cannot be read and the door is not in lockdown")
        expect(math.isfinite(past.latest), "no clock can be compared with the latest time of the past")
        with contextlib.suppress(RecordError):
            log = JsonLog(path)
            log.append({"event": "started", "latches": []})
            log.close()
            after = read_log(path)
            expect(after[: len(whole)] == whole and after[-1]["event"] == "started", "the record does not go on")

    return run


def _packet_seeds() -> list[bytes]:
    raw = [b"\0" + json.dumps(tree).encode() for tree in (_grant(_BEGINNING_S), _COMMAND, _STATUS)]
    valid, spoilt_ones = [bytes([2, n, n // 3, 3, 65, 66, 67]) for n in range(12)], [bytes([1, n, 3, n, 5]) for n in range(9)]
    return [*raw, b"\0" + b"[" * 3000, *valid, *spoilt_ones]


def _record_seeds() -> list[bytes]:
    return [b"\0" + b"".join(_LINES), *(bytes([n, n, n, n + 1, n % 4, 3, n, 7, 7, n]) for n in range(1, 40))]


TARGETS = (
    Target("packet", "the door's protocol", _open_packets, _packet_seeds),
    Target("service", "the door's answers over its socket, and that no malformed packet opens", _open_service, _packet_seeds),
    Target("record", "lines of records: reader, tail, `past_of`, and that the next record stands", _open_records, _record_seeds),
)
