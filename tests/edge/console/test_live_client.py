"""Client of the live socket: newest view, reconnection and hostile servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge.console.live import LiveClient, LiveState
from edge.recogniser.live_server import LiveServer
from tests import live
from tests.live_recogniser import LiveRecogniser, live_recogniser, make_face, make_view

TIMEOUT_S = 60.0


async def wait_for(client: LiveClient, found: Callable[[LiveState], bool]) -> LiveState:
    number = 0
    while True:
        state = await asyncio.wait_for(client.newer(number), TIMEOUT_S)
        if found(state):
            return state
        number = state.number


def run(path: Path, watch: Callable[[LiveClient], Awaitable[None]]) -> None:
    """Run a viewer of a socket."""

    async def main() -> None:
        client = LiveClient(path)
        async with client.watch():
            await watch(client)

    asyncio.run(main())


def test_view_and_picture_arrive(tmp_path: Path) -> None:
    async def watch(client: LiveClient) -> None:
        server.show(make_view(make_face(reason="too-small"), number=7), b"jpeg")
        state = await wait_for(client, lambda state: state.view is not None)
        assert state.view is not None
        assert (state.view.number, state.view.faces[0].reason) == (7, "too-small")
        assert state.picture == b"jpeg"

    with live_recogniser(tmp_path / "live.sock") as server:
        run(server.path, watch)


def test_view_of_the_real_server(tmp_path: Path) -> None:
    async def watch(client: LiveClient) -> None:
        state = await wait_for(client, lambda state: state.view is not None)
        assert state.view is not None
        assert [face.track for face in state.view.faces] == [7]
        assert state.picture.startswith(b"\xff\xd8")

    scene = live.make_scene(live.make_frame(), (live.make_shown(7, live.make_face(200)),))
    server = LiveServer(tmp_path / "live.sock", live.make_message(scene))
    try:
        run(tmp_path / "live.sock", watch)
    finally:
        server.close()


def test_picture_stays_until_a_newer_one(tmp_path: Path) -> None:
    async def watch(client: LiveClient) -> None:
        server.show(make_view(number=1), b"first")
        first = await wait_for(client, lambda state: state.view is not None)
        server.show(make_view(camera="lost", number=2))
        lost = await wait_for(client, lambda state: b'"lost"' in state.details)
        assert (lost.picture, lost.picture_number) == (b"first", first.picture_number)

    with live_recogniser(tmp_path / "live.sock") as server:
        run(server.path, watch)


def test_slow_viewer_gets_newest_view(tmp_path: Path) -> None:
    async def watch(client: LiveClient) -> None:
        for number in range(1, 20):
            server.show(make_view(number=number), b"%d" % number)
            await wait_for(client, lambda state, number=number: state.picture == b"%d" % number)
        state = await client.newer(0)  # of a viewer that took none of them
        assert state.picture == b"19"

    with live_recogniser(tmp_path / "live.sock") as server:
        run(server.path, watch)


def test_client_connects_for_viewers_only(tmp_path: Path) -> None:
    async def main() -> None:
        client = LiveClient(server.path)
        server.show(make_view(), b"jpeg")
        for _ in range(2):
            async with client.watch(), client.watch():
                await wait_for(client, lambda state: state.view is not None)
                assert server.clients == 1
            while server.clients:
                await asyncio.sleep(0.01)

    with live_recogniser(tmp_path / "live.sock") as server:
        asyncio.run(main())


def test_next_viewer_gets_no_old_picture(tmp_path: Path) -> None:
    async def main() -> None:
        client = LiveClient(tmp_path / "live.sock")
        with live_recogniser(tmp_path / "live.sock") as server:
            server.show(make_view(), b"old")
            async with client.watch():
                await wait_for(client, lambda state: state.picture == b"old")
        async with client.watch():
            state = await wait_for(client, lambda state: True)
        assert (state.view, state.picture) == (None, b"")

    asyncio.run(main())


def test_client_reconnects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "live.sock"

    async def watch(client: LiveClient) -> None:
        assert (await client.newer(0)).view is None
        for _ in range(2):
            with live_recogniser(path) as server:
                server.show(make_view(), b"jpeg")
                await wait_for(client, lambda state: state.view is not None)
            lost = await wait_for(client, lambda state: state.view is None)
            assert lost.picture == b""

    with caplog.at_level(logging.WARNING):
        run(path, watch)
    assert "is edge-daemon running?" in caplog.text


def _send_other_version(server: LiveRecogniser) -> None:
    server.version = 2
    server.show(make_view())


def _send_invalid_view(server: LiveRecogniser) -> None:
    server.show(make_view(make_face(progress=9)))


def _send_names(server: LiveRecogniser) -> None:
    server.show({"at": 1})


@pytest.mark.parametrize(
    ("send", "message"),
    [
        (_send_other_version, "expected protocol version 1"),
        (_send_invalid_view, "not a valid view"),
        (_send_names, "not a valid view"),
        (lambda server: server.show(make_view(names="x" * (2 << 20))), "larger than"),
        (lambda server: server.show(make_view(), b"x" * (17 << 20)), "larger than"),
    ],
)
def test_invalid_server_is_dropped(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    send: Callable[[LiveRecogniser], None],
    message: str,
) -> None:
    async def watch(client: LiveClient) -> None:
        send(server)
        assert (await client.newer(0)).view is None
        server.version = 1
        server.show(make_view(), b"jpeg")
        await wait_for(client, lambda state: state.picture == b"jpeg")

    with caplog.at_level(logging.WARNING), live_recogniser(tmp_path / "live.sock") as server:
        run(server.path, watch)
    assert message in caplog.text
