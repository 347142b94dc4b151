"""Fixtures of the console: its parts and clients with each role."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `console` is not installed")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from edge.config import TerminalConfig, load_config
from edge.console.accounts.passwords import PasswordHasher
from edge.console.accounts.sessions import Session
from edge.console.app import create_app
from edge.console.context import Console, build_console
from edge.console.permissions import COOKIE, CSRF_HEADER
from edge.console.roles import Role
from tests.live_recogniser import LiveRecogniser, live_recogniser

BASE = "https://console"
PASSWORD = "correct horse battery"
HELD_S = 30.0  # longest time for which a test holds the database

Clients = Callable[[Role], TestClient]

CONFIG = """\
bundle: bundle
state: state
camera: {kind: replay, path: clip.mp4}
liveness: {kind: none}
"""


class WallTime:
    """Clock in Unix seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def console_config(tmp_path: Path) -> TerminalConfig:
    path = tmp_path / "terminal.yaml"
    path.write_text(CONFIG)
    return load_config(path)


@pytest.fixture
def wall() -> WallTime:
    return WallTime()


@pytest.fixture
def console(console_config: TerminalConfig, wall: WallTime) -> Iterator[Console]:
    quick = PasswordHasher(time_cost=1, memory_kib=64)
    console = build_console(console_config, quick, wall, wall)
    yield console
    console.close()


@pytest.fixture
def app(console: Console) -> FastAPI:
    return create_app(console)


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """Client without login; redirects are returned."""
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        yield client


@contextmanager
def held_database(console: Console) -> Iterator[None]:
    """Hold the database of users for a block, as a slow disk does."""
    held, released = threading.Event(), threading.Event()

    def hold() -> bool:
        with console.accounts.database.transaction():
            held.set()
            return released.wait(HELD_S)

    with ThreadPoolExecutor(1) as executor:
        holding = executor.submit(hold)
        held.wait()
        try:
            yield
        finally:
            released.set()
        assert holding.result(), "the block waited for the database"


def start_session(console: Console, role: Role) -> Session:
    """Return a session of a user with the name of a role; the user is added once."""
    users, now = console.accounts.users, console.accounts.wall()
    user = users.find(role.value) or users.add(role.value, role)
    return console.accounts.sessions.start(user, "192.0.2.1", now)


@pytest.fixture
def client_of(console: Console, app: FastAPI) -> Iterator[Clients]:
    """Return clients with a session of a user with a role."""
    opened: list[TestClient] = []

    def make(role: Role) -> TestClient:
        session = start_session(console, role)
        client = TestClient(
            app, base_url=BASE, headers={CSRF_HEADER: session.csrf}, follow_redirects=False
        )
        client.cookies.set(COOKIE, session.token)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def recogniser(console: Console) -> Iterator[LiveRecogniser]:
    console.config.recogniser_folder.mkdir(parents=True, exist_ok=True)
    with live_recogniser(console.config.live_socket_path) as server:
        yield server
