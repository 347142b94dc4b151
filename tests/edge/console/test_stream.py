"""Server-sent events: heartbeats, filters, resume, end of the stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from edge.config import TerminalConfig
from edge.console.api import stream
from edge.console.context import Console
from edge.console.records import feed as feed_module
from edge.console.roles import Role
from tests.edge.console.conftest import Clients
from tests.edge.console.logs import SampleLog

PATH = "/api/v1/stream"


@pytest.fixture
def decisions(console_config: TerminalConfig) -> Iterator[SampleLog]:
    log = SampleLog(console_config.decisions_path)
    log.fill(4)
    yield log
    log.close()


@pytest.fixture
def client(decisions: SampleLog, client_of: Clients, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Client of an operator whose streams end at the first pause."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.5)
    monkeypatch.setattr(stream, "STREAM_MAX_S", 0.0)
    return client_of(Role.OPERATOR)


def messages(text: str) -> list[dict[str, str]]:
    return [
        dict(line.split(": ", 1) for line in block.splitlines())
        for block in text.split("\n\n")[:-1]
    ]


def receive(client: TestClient, **headers: str) -> list[dict[str, str]]:
    """Return the messages of streams until one has no event."""
    found: list[dict[str, str]] = []
    while True:
        answer = client.get(PATH, params={"after": "start"}, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        got = messages(answer.text)
        headers = {"last-event-id": got[-1]["id"]}
        if not (records := [each for each in got if "data" in each]):
            return found
        found += records


def test_stream_resumes_after_its_end(client: TestClient, decisions: SampleLog) -> None:
    """Each connection ends after an event; each event arrives once."""
    found = receive(client)
    assert [json.loads(each["data"])["number"] for each in found] == [1, 2, 3, 4]
    assert {each["event"] for each in found} == {"record"}
    decisions.fill(2)
    more = receive(client, **{"last-event-id": found[-1]["id"]})
    assert [json.loads(each["data"])["number"] for each in more] == [5, 6]


def test_stream_starts_with_new_events(client: TestClient, console: Console) -> None:
    (first, heartbeat) = messages(client.get(PATH).text)
    assert first["retry"] == "2000" and heartbeat.keys() == {"id"}


def test_stream_filters_events(client: TestClient, decisions: SampleLog) -> None:
    answer = client.get(PATH, params={"after": "start", "subject": "Ben"})
    (_, *rest) = messages(answer.text)
    assert all(json.loads(each["data"])["subject"] == "Ben" for each in rest if "data" in each)


@pytest.mark.parametrize("cursor", ["nonsense", "door:1,door:2"])
def test_invalid_cursor_is_a_problem(client: TestClient, cursor: str) -> None:
    answer = client.get(PATH, headers={"last-event-id": cursor})
    assert answer.status_code == 422 and answer.json()["code"] == "invalid-cursor"


def test_too_many_streams_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SUBSCRIBERS_MAX", 0)
    answer = client.get(PATH)
    assert answer.status_code == 503 and "at most 0 subscribers" in answer.json()["detail"]


def test_ended_stream_frees_its_place(client: TestClient, console: Console) -> None:
    for _ in range(3):
        client.get(PATH)
    assert console.feed.subscribers == 0


def test_pause_keeps_the_next_item() -> None:
    released = asyncio.Event()

    async def items() -> AsyncIterator[int]:
        yield 1
        await released.wait()
        yield 2

    async def collect() -> list[int | None]:
        found: list[int | None] = []
        async for item in stream.with_pauses(items(), 0.01):
            found.append(item)
            if found.count(None) == 2:
                released.set()
            if item == 2:
                break
        return found

    found = asyncio.run(collect())
    assert found[0] == 1 and found[-1] == 2 and found.count(None) >= 2


def test_stalled_client_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STALL_S", 0.01)
    ended = asyncio.Event()

    async def events() -> AsyncIterator[str]:
        try:
            while True:
                yield "id: start\n\n"
        finally:
            ended.set()

    async def never(*_: object) -> Any:
        await asyncio.Event().wait()

    async def serve() -> bool:
        response = stream.EventStream(events(), media_type=stream.MEDIA_TYPE)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await never()

        await response({"type": "http"}, never, send)
        del response
        return await asyncio.wait_for(ended.wait(), 30.0)

    assert asyncio.run(serve())
