"""Live page of operators, and its connection."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from edge.console.context import Console
from edge.console.pages import live
from edge.console.permissions import COOKIE, current_principal
from edge.console.roles import Principal, Role
from edge.console.tls import certificate_files, prepare_certificate, utc_now
from tests.edge.console.conftest import Clients, held_database, start_session
from tests.edge.console.messages import take
from tests.edge.console.running import find_barriers, open_browser, serve_app
from tests.live_recogniser import LiveRecogniser, make_answer, make_face, make_view

LIVE, ORIGIN = "wss://console/live/view", {"origin": "https://console"}
TIMEOUT_MS = 60_000


def test_view_has_faces_and_answer(client_of: Clients, recogniser: LiveRecogniser) -> None:
    with client_of(Role.VIEWER).websocket_connect(LIVE, headers=ORIGIN) as browser:
        door = make_answer("refused", reason="zone-full")
        recogniser.show(make_view(make_face(reason="too-small"), door=door), b"jpeg")
        fields, picture = take(browser)
        while not fields["faces"]:
            fields, picture = take(browser)
    assert picture == b"jpeg"
    assert fields == {
        "camera": "The camera works",
        "faces": [
            {
                "box": [0.35, 0.2, 0.65, 0.7],
                "track": "1",
                "progress": "50%",
                "reason": "the face is too small; come closer",
            }
        ],
        "door": "The door refused: too many people are inside; wait until a person leaves",
        "has_picture": True,
    }


def test_view_without_recogniser(client_of: Clients) -> None:
    with client_of(Role.VIEWER).websocket_connect(LIVE, headers=ORIGIN) as browser:
        fields, picture = take(browser)
    assert (fields["camera"], picture) == ("The recogniser is not running", b"")


@pytest.mark.parametrize("origin", ["http://console", "https://evil.example", ""])
def test_pages_of_others_get_no_view(client_of: Clients, origin: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client_of(Role.VIEWER).websocket_connect(LIVE, headers={"origin": origin}),
    ):
        pass
    assert refused.value.code == 1008


def test_view_needs_its_permission(client_of: Clients, anonymous: TestClient) -> None:
    for client in (client_of(Role.AUDITOR), anonymous):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            client.websocket_connect(LIVE, headers=ORIGIN),
        ):
            pass
        assert refused.value.code == 1008


def test_view_ends_with_the_session(
    client_of: Clients, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RECHECK_S", 0.0)
    client = client_of(Role.VIEWER)
    with client.websocket_connect(LIVE, headers=ORIGIN) as browser:
        take(browser)
        console.accounts.sessions.end(client.cookies[COOKIE])
        with pytest.raises(WebSocketDisconnect) as ended:
            while True:
                take(browser)
    assert ended.value.code == 1008


def test_page_in_a_browser(
    client_of: Clients, console: Console, recogniser: LiveRecogniser
) -> None:
    client = client_of(Role.VIEWER)
    prepare_certificate(console.settings, utc_now())
    tls = certificate_files(console.settings).server_context()
    recogniser.show(make_view(make_face(reason="too-small")))
    with serve_app(client.app, tls=tls) as address, open_browser() as browser:
        context = browser.new_context(ignore_https_errors=True)
        session = start_session(console, Role.VIEWER)
        context.add_cookies([{"name": COOKIE, "value": session.token, "url": address}])
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        for width in (320, 768, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{address}/live")
            page.get_by_text("the face is too small; come closer").wait_for()
            assert find_barriers(page) == []
            size = "[document.documentElement.scrollWidth, innerWidth]"
            content, window = page.evaluate(size)
            assert content <= window


def test_view_waits_alone_for_the_database(
    client_of: Clients, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def check(*arguments: Any) -> Principal:
        asked.set()
        return current_principal(*arguments)

    with (
        client_of(Role.VIEWER) as client,
        client.websocket_connect(LIVE, headers=ORIGIN) as browser,
    ):
        take(browser)
        monkeypatch.setattr(live, "RECHECK_S", 0.0)
        monkeypatch.setattr(live, "current_principal", check)
        with held_database(console):
            asked.wait()
            assert client.get("/healthz").status_code == 200
