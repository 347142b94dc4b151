"""Accounts and numbers of connections."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.door import connections
from edge.door.client import DoorClient
from edge.errors import DoorError
from tests.doors import TIMEOUT_S, RunningDoor, make_settings

OTHERS = {uid: f"client{uid}" for uid in (50001, 50002, 50003)}


class Crowd:
    """Connections with a chosen account in place of SO_PEERCRED."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path, self._uid = path, os.geteuid()
        self._clients: list[DoorClient] = []
        monkeypatch.setattr(connections, "peer_uid", lambda _: self._uid)

    def connect(self, uid: int, count: int) -> int:
        """Return how many of some connections the door accepts."""
        self._uid, taken = uid, 0
        for _ in range(count):
            self._clients.append(DoorClient(self._path, timeout_s=TIMEOUT_S))
            try:
                taken += self._clients[-1].status()["state"] == "locked"
            except DoorError as error:
                assert "`door.clients` or `door.operators`" in str(error)
        return taken

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    terminal = RunningDoor(tmp_path, settings=make_settings(clients=OTHERS))
    made = Crowd(terminal.path, monkeypatch)
    yield made
    made.close()
    terminal.stop()


def test_connections_per_account_are_limited(crowd: Crowd) -> None:
    assert crowd.connect(50001, 12) == 4
    assert crowd.connect(50002, 12) == 4
    assert crowd.connect(50003, 1) == 0


def test_idle_clients_do_not_block_operators(crowd: Crowd) -> None:
    for uid in OTHERS:
        crowd.connect(uid, 12)
    assert crowd.connect(os.geteuid(), 12) == 8


def test_other_accounts_are_refused(crowd: Crowd) -> None:
    assert crowd.connect(60000, 2) == 0
