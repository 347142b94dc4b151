"""Limits of connections, of their headers and of their messages."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.typing import Origin

from edge.console.connections import ConnectionLimit, LimitedListener
from tests.edge.console.conftest import CONFIG
from tests.edge.console.test_console_command import free_port
from tests.processes import Process, until

TIMEOUT_S = 60.0


def test_limit_counts_each_network() -> None:
    limit = ConnectionLimit(3, 2)
    found = [limit.enter(network) for network in ("a", "a", "a", "b", "b")]
    assert found == [True, True, False, True, False]
    limit.leave("a")
    assert limit.enter("b")


def test_listener_closes_connections_over_limit() -> None:
    with LimitedListener(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.limit = ConnectionLimit(1, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        with socket.create_connection(address), socket.create_connection(address) as second:
            accepted = listener.accept()[0]
            with pytest.raises(ConnectionAbortedError):
                listener.accept()
            assert second.recv(1) == b""
        accepted.close()
        with socket.create_connection(address):
            listener.accept()[0].close()


def test_console_limits_its_clients(tmp_path: Path) -> None:
    operators, kiosk = free_port(), free_port()
    path = tmp_path / "terminal.yaml"
    path.write_text(f"{CONFIG}console: {{listen: '127.0.0.1:{operators}', kiosk_port: {kiosk}}}\n")
    with Process("edge.cli.console", "run", "--config", path, log=tmp_path / "log") as process:
        until(lambda: process.said("https://"), "the console listens")
        endless = b"GET /kiosk HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 50_000 + b"\r\n"
        with socket.create_connection(("127.0.0.1", kiosk), TIMEOUT_S) as client:
            client.sendall(endless)
            assert client.recv(12) == b"HTTP/1.1 400"
        browser = connect(
            f"ws://127.0.0.1:{kiosk}/kiosk/live", origin=Origin(f"http://127.0.0.1:{kiosk}")
        )
        with browser, pytest.raises(ConnectionClosedError, match="1009"):
            browser.send("a" * 1000)
            while True:
                browser.recv(TIMEOUT_S)
        idle = [socket.create_connection(("127.0.0.1", operators), TIMEOUT_S) for _ in range(65)]
        assert idle[-1].recv(1) == b""
        assert process.stop() == 0
    for each in idle:
        each.close()
