from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import pytest

from edge.door import protocol
from edge.door.client import DoorClient
from edge.errors import DoorError
from tests.doors import (
    PULSE_S,
    TIMEOUT_S,
    RunningDoor,
    grant,
    until,
)


def test_grant_opens_for_one_pulse(terminal: RunningDoor, client: DoorClient) -> None:
    assert client.status()["state"] == "locked"
    assert client.grant(grant()) is None
    assert client.status()["state"] == "unlocked"
    until(lambda: not terminal.relay.energised)
    (opened, on), (closed, off) = terminal.relay.history
    assert (on, off) == (True, False)
    assert closed - opened >= PULSE_S - 0.01
    until(lambda: terminal.events() == ["started", "granted", "unlocked", "relocked"])


def test_grant_is_recorded_before_relay_moves(terminal: RunningDoor, client: DoorClient) -> None:
    seen: list[list[str]] = []
    energise = terminal.relay.energise

    def watch() -> None:
        seen.append(terminal.events())
        energise()

    terminal.relay.energise = watch  # type: ignore[method-assign]
    assert client.grant(grant()) is None
    assert seen == [["started", "granted"]]


def test_replayed_and_stale_grants_are_refused(terminal: RunningDoor, client: DoorClient) -> None:
    first = grant()
    assert client.grant(first) is None
    assert client.grant(first) == "replayed"
    assert client.grant(grant("old", age=1.5)) == "stale"
    assert client.grant(grant("early", age=-1.5)) == "stale"
    assert len(terminal.relay.history) == 1


def test_close_locks_and_records(terminal: RunningDoor, client: DoorClient) -> None:
    assert client.grant(grant()) is None
    terminal.stop()
    assert not terminal.relay.energised
    assert terminal.events()[-1] == "stopped"
    with pytest.raises(DoorError, match="is edge-door running"):
        client.status()


def test_client_reconnects_to_restarted_door(tmp_path: Path) -> None:
    client = DoorClient(tmp_path / "door.sock", timeout_s=TIMEOUT_S)
    for number in range(2):
        terminal = RunningDoor(tmp_path)
        assert client.grant(grant(f"g{number}")) is None
        terminal.stop()
    client.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b'{"v": 1}',
        b'{"v": 2, "kind": "status"}',
        b'{"v": 1, "kind": "open sesame"}',
        b'{"v": 1, "kind": "grant"}',
        b'{"v": 1, "kind": "grant", "id": 1, "subject": "a", "record_id": 1, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": true, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "", "record_id": 1, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": 1, "frame_at": NaN}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": 1, '
        b'"frame_at": 1, "pulse_s": 900}',
        b"[" * 4000,
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "\\ud800", '
        b'"record_id": 1, "frame_at": 1}',
        b'{"v": 1, "kind": "grant", "id": "a", "subject": "a", "record_id": 1, "frame_at": 1'
        + b"0" * 400
        + b"}",
    ],
)
def test_invalid_packets_neither_open_nor_end(
    terminal: RunningDoor, client: DoorClient, packet: bytes
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.settimeout(5)
        raw.connect(str(terminal.path))
        raw.send(packet)
        if packet:
            assert json.loads(raw.recv(4096))["kind"] == "refused"
    assert client.status()["state"] == "locked"
    assert terminal.relay.history == []


def test_lost_or_flooding_peer_does_not_block(terminal: RunningDoor, client: DoorClient) -> None:
    assert client.grant(grant()) is None
    flood = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    flood.connect(str(terminal.path))
    flood.setblocking(False)

    def locked_while_flooded() -> bool:
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):  # sends without reading answers
                flood.send(protocol.encode("status", {}))
        return not terminal.relay.energised

    until(locked_while_flooded)
    flood.close()
    assert client.status()["state"] == "locked"
