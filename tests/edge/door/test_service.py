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


def grant_packet(change: str) -> bytes:
    """Return a complete grant with one field in other words, or one more."""
    fields = {
        '"id"': '"a"',
        '"subject"': '"Ada"',
        '"record_id"': "1",
        '"frame_at"': "1.0",
        '"lane"': '"main"',
        '"masked"': "false",
        '"claimed"': "false",
    }
    name, value = change.split(": ", 1)
    text = ", ".join(f"{key}: {old}" for key, old in {**fields, name: value}.items())
    return f'{{"v": 1, "kind": "grant", {text}}}'.encode()


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
        b'{"v": 1, "kind": "claim"}',
        b'{"v": 1, "kind": "claim", "lane": 1}',
        grant_packet('"id": 1'),
        grant_packet('"record_id": true'),
        grant_packet('"subject": ""'),
        grant_packet('"subject": "\\ud800"'),
        grant_packet('"frame_at": NaN'),
        grant_packet('"frame_at": 1' + "0" * 400),
        grant_packet('"masked": 1'),
        grant_packet('"extended": true'),
        grant_packet('"lane": ""'),
        grant_packet('"claimed": null'),
        grant_packet('"pulse_s": 900'),
        b"[" * 4000,
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


def test_valid_packet_is_refused_by_its_age_only(terminal: RunningDoor) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
        raw.settimeout(TIMEOUT_S)
        raw.connect(str(terminal.path))
        raw.send(grant_packet('"id": "b"'))
        assert json.loads(raw.recv(4096))["reason"] == "stale"


def test_error_in_a_request_ends_nothing(
    terminal: RunningDoor, client: DoorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("unexpected")

    with monkeypatch.context() as broken:
        broken.setattr("edge.access.rules.engine.RulesEngine.check", fail)
        assert client.grant(grant("first")) == "an error of the door, see its journal"
        assert not terminal.relay.history
    assert client.grant(grant("second")) is None and terminal.relay.energised


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
