"""Fixtures of the console: its parts and clients with each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `console` is not installed")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from edge.config import TerminalConfig, load_config
from edge.console.app import create_app
from edge.console.context import Console, build_console
from edge.console.permissions import current_principal
from edge.console.roles import ROLE_PERMISSIONS, Principal, Role

Clients = Callable[[Role], TestClient]

CONFIG = """\
bundle: bundle
state: state
camera: {kind: replay, path: clip.mp4}
liveness: {kind: none}
"""


@pytest.fixture
def console_config(tmp_path: Path) -> TerminalConfig:
    path = tmp_path / "terminal.yaml"
    path.write_text(CONFIG)
    return load_config(path)


@pytest.fixture
def console(console_config: TerminalConfig) -> Iterator[Console]:
    built = build_console(console_config)
    yield built
    built.close()


@pytest.fixture
def app(console: Console) -> FastAPI:
    return create_app(console)


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """Client without login."""
    with TestClient(app, base_url="https://console") as client:
        yield client


@pytest.fixture
def client_of(console: Console) -> Iterator[Clients]:
    """Return clients whose requests come from a user with a role."""
    opened: list[TestClient] = []

    def make(role: Role) -> TestClient:
        app = create_app(console)
        principal = Principal(role.value, ROLE_PERMISSIONS[role])
        app.dependency_overrides[current_principal] = lambda: principal
        client = TestClient(app, base_url="https://console")
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()
