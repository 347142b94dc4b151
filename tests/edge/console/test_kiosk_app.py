"""Application of the terminal's screen: page, texts and live connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from edge.console.context import Console
from edge.console.kiosk.lock import LockFollower
from edge.console.kiosk.router import VIEWERS_MAX
from edge.console.kiosk_app import create_kiosk_app
from tests.doors import RunningDoor
from tests.edge.console.logs import SampleLog
from tests.edge.console.messages import take
from tests.live_recogniser import LiveRecogniser, make_face, make_view

TIMEOUT_S = 60.0
ORIGIN = {"origin": "http://127.0.0.1:8080"}
LIVE = "ws://127.0.0.1:8080/kiosk/live"


@pytest.fixture
def kiosk(console: Console) -> Iterator[TestClient]:
    with TestClient(create_kiosk_app(console), base_url=ORIGIN["origin"]) as client:
        yield client


def take_until(browser: WebSocketTestSession, state: str) -> tuple[dict[str, Any], bytes]:
    while True:
        fields, picture = take(browser)
        if fields["state"] == state:
            return fields, picture


def test_page_and_texts(kiosk: TestClient) -> None:
    page = kiosk.get("/kiosk")
    assert page.status_code == 200
    assert 'lang="en"' in page.text
    texts = kiosk.get("/kiosk/texts.json").json()
    assert texts["default"] == "en"
    assert texts["languages"]["ja"]["texts"]["Please wait"] == "お待ちください"


def test_screen_and_picture_arrive(kiosk: TestClient, recogniser: LiveRecogniser) -> None:
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        recogniser.show(make_view(make_face(reason="too-small")), b"jpeg")
        fields, picture = take_until(browser, "guide")
    assert picture == b"jpeg"
    assert fields == {
        "state": "guide",
        "title": "",
        "text": "Come closer",
        "box": [0.35, 0.2, 0.65, 0.7],
        "progress": 0.5,
        "seconds_left": None,
        "lock": "Door state unknown",
        "is_locked": None,
        "has_picture": True,
    }


def test_picture_is_sent_once(kiosk: TestClient, recogniser: LiveRecogniser) -> None:
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        recogniser.show(make_view(make_face()), b"jpeg")
        assert take_until(browser, "guide")[1] == b"jpeg"
        fields, picture = take(browser)
    assert (fields["has_picture"], picture) == (True, b"")


def test_idle_screen_has_no_picture(kiosk: TestClient, recogniser: LiveRecogniser) -> None:
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        recogniser.show(make_view(), b"jpeg")
        fields, picture = take_until(browser, "idle")
    assert (fields["has_picture"], picture) == (False, b"")


def test_screen_without_recogniser(kiosk: TestClient) -> None:
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        fields, picture = take(browser)
    assert (fields["state"], picture) == ("offline", b"")


def test_views_wait_for_acknowledgement(kiosk: TestClient, recogniser: LiveRecogniser) -> None:
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        recogniser.show(make_view(make_face()), b"first")
        take_until(browser, "guide")
        browser.receive_bytes()  # not acknowledged
        for number in range(20):
            recogniser.show(make_view(make_face()), b"%d" % number)
        browser.send_text("+")
        pictures = []
        while not pictures or pictures[-1] != b"19":
            pictures.append(take(browser)[1])
    assert len(pictures) < 20


@pytest.mark.parametrize("origin", ["https://127.0.0.1:8080", "http://evil.example", "null", ""])
def test_other_pages_get_no_picture(kiosk: TestClient, origin: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        kiosk.websocket_connect(LIVE, headers={"origin": origin}),
    ):
        pass


def test_names_that_lead_here_are_refused(kiosk: TestClient) -> None:
    headers = {"host": "evil.example", "origin": "http://evil.example"}
    assert kiosk.get("/kiosk", headers=headers).status_code == 400
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        kiosk.websocket_connect(LIVE, headers=headers),
    ):
        pass
    assert refused.value.status_code == 400


def test_viewers_are_limited(kiosk: TestClient) -> None:
    def connect() -> WebSocketTestSession:
        return kiosk.websocket_connect(LIVE, headers=ORIGIN)

    opened = [connect().__enter__() for _ in range(VIEWERS_MAX)]
    for browser in opened:
        take(browser)
    with connect() as extra, pytest.raises(WebSocketDisconnect) as refused:
        extra.receive_bytes()
    assert refused.value.code == 1013
    opened.pop().__exit__(None, None, None)
    with connect() as again:
        assert take(again)[0]["state"] == "offline"
    for browser in opened:
        browser.__exit__(None, None, None)


def test_other_messages_end_the_connection(kiosk: TestClient) -> None:
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        browser.receive_bytes()
        browser.send_text("no acknowledgement")
        with pytest.raises(WebSocketDisconnect) as refused:
            browser.receive_bytes()
    assert refused.value.code == 1008


def test_state_of_the_door_is_shown(kiosk: TestClient, console: Console) -> None:
    door = RunningDoor(console.config.door_folder)
    try:
        with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
            fields, _ = take(browser)
    finally:
        door.stop()
    assert (fields["lock"], fields["is_locked"]) == ("Door locked", True)


def test_hung_door_delays_no_picture() -> None:
    async def main() -> None:
        hung = asyncio.Event()

        async def read_door() -> dict[str, Any]:
            if not answers:
                await hung.wait()
            return answers.pop()

        answers: list[dict[str, Any]] = [{"state": "unlocked", "reason": "pulse"}]
        follower = LockFollower(read_door)
        for _ in range(100):
            lock = await follower.read()
            assert lock is not None
            assert not lock.is_locked
            await asyncio.sleep(0)
        answers.append({"state": "locked", "reason": "normal"})
        hung.set()
        while (lock := await follower.read()) is None or not lock.is_locked:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


def test_wrong_card_reaches_the_screen(
    kiosk: TestClient, console: Console, recogniser: LiveRecogniser
) -> None:
    recogniser.show(make_view())
    with kiosk.websocket_connect(LIVE, headers=ORIGIN) as browser:
        take_until(browser, "idle")
        log = SampleLog(console.config.door_record_path)
        log.append(event="card-pin-refused", reason="card-in-use")  # an operator learns a card
        log.append(event="card-pin-refused", reason="unknown-card", reader="hall")
        fields, _ = take_until(browser, "refused")
    assert fields["text"] == "The card is not accepted"
