"""Applications of the console."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from edge.console.context import Console
from edge.console.kiosk_app import create_kiosk_app
from edge.console.roles import Role
from tests.edge.console.conftest import Clients


def test_health_page_names_the_terminal(client_of: Clients) -> None:
    answer = client_of(Role.VIEWER).get("/health")
    assert answer.status_code == 200 and "<p>terminal</p>" in answer.text


def test_page_without_login_is_refused(anonymous: TestClient) -> None:
    assert anonymous.get("/health").status_code == 401


@pytest.mark.parametrize("path", ["/health", "/login", "/api/v1/door"])
def test_kiosk_has_no_operator_route(console: Console, path: str) -> None:
    assert (
        TestClient(create_kiosk_app(console), base_url="http://127.0.0.1").get(path).status_code
        == 404
    )
