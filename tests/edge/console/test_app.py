"""Applications of the console."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edge.console import app as application
from edge.console.app import STATIC
from edge.console.context import Console
from edge.console.kiosk_app import create_kiosk_app
from edge.console.permissions import may_edit_people
from edge.console.roles import Role
from edge.console.settings import LOOPBACK
from tests.edge.console.conftest import Clients, held_database


def test_health_page_names_the_terminal(client_of: Clients) -> None:
    answer = client_of(Role.VIEWER).get("/health")
    assert answer.status_code == 200 and "terminal</strong>" in answer.text


def test_page_without_login_opens_login(anonymous: TestClient) -> None:
    answer = anonymous.get("/health")
    assert answer.status_code == 303 and answer.headers["location"] == "/login?next=/health"


@pytest.mark.parametrize("path", ["/health", "/login", "/users", "/api/v1/door"])
def test_kiosk_has_no_operator_route(console: Console, path: str) -> None:
    client = TestClient(create_kiosk_app(console), base_url=f"http://{LOOPBACK}")
    assert client.get(path).status_code == 404


def test_kiosk_refuses_other_host_names(console: Console) -> None:
    client = TestClient(create_kiosk_app(console), base_url="http://rebound.example")
    assert client.get("/static/style.css").status_code == 400


def test_vendored_files_have_their_digest() -> None:
    listed = json.loads((STATIC / "vendored.json").read_text())
    assert set(listed) == {path.name for path in STATIC.glob("*.min.js")}
    for name, origin in listed.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == origin["sha256"]


def test_pages_load_own_files_only() -> None:
    for page in (Path(__file__).parents[3] / "edge" / "console" / "templates").glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<style|<script>|\son\w+=|\sstyle=|(src|href)=.?https?:", text), page


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape"])
def test_form_in_another_charset_is_refused(anonymous: TestClient, charset: str) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    body = b'--x\r\ncontent-disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--x--\r\n'
    answer = anonymous.post("/login", content=body, headers={"content-type": kind})
    assert answer.status_code == 415


def test_upload_waits_alone_for_the_database(
    anonymous: TestClient, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def check(*arguments: Any) -> bool:
        asked.set()
        return may_edit_people(*arguments)

    monkeypatch.setattr(application, "may_edit_people", check)
    with ThreadPoolExecutor(1) as executor:
        with held_database(console):
            upload = executor.submit(anonymous.post, "/people/enroll")
            asked.wait()
            assert anonymous.get("/healthz").status_code == 200
        assert upload.result().status_code == 401
