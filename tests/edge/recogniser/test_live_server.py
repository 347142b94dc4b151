"""Live socket under ordinary and hostile clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.access.reasons import Reason
from edge.errors import RecogniserError
from edge.live import protocol
from edge.live.client import LiveReader
from edge.live.protocol import LiveDoorAnswer
from edge.recogniser.live_server import LiveServer
from tests.live import (
    live_reader,
    make_face,
    make_frame,
    make_message,
    make_scene,
    make_shown,
)
from tests.processes import TIMEOUT_S, until

RIGHT_HALF = (0.5, 0.0, 1.0, 1.0)
Open = Callable[..., LiveServer]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live.sock"


@pytest.fixture
def open_server(path: Path) -> Iterator[Open]:
    with ExitStack() as opened:

        def make(stall_s: float = TIMEOUT_S) -> LiveServer:
            server = LiveServer(path, make_message(make_scene(None)), stall_s=stall_s)
            opened.callback(server.close)
            return server

        yield make


def connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(str(path))  # without a timeout it waits for a place in the queue
    peer.settimeout(TIMEOUT_S)
    return peer


def is_disconnected(peer: socket.socket) -> bool:
    """Return True once the server has closed a connection; reads what it sent before."""
    with suppress(ConnectionError):
        while peer.recv(1 << 16):
            pass
    return True


def is_served(path: Path) -> bool:
    try:
        with live_reader(path) as reader:
            reader.read()
    except RecogniserError:
        return False
    return True


def count_threads() -> int:
    return sum(thread.name == "live client" for thread in threading.enumerate())


def test_new_client_gets_the_newest_view(open_server: Open, path: Path) -> None:
    server, frame = open_server(), make_frame(7)
    with live_reader(path) as reader:
        first = reader.read()
        assert first.view.number == -1 and first.picture == b"" and first.view.width == 0
        server.publish(make_message(make_scene(frame)))
        update = reader.read()
    assert update.view.number == 7 and (update.view.width, update.view.height) == (640, 480)
    found = cv2.imdecode(np.frombuffer(update.picture, np.uint8), cv2.IMREAD_COLOR)
    assert found.shape == frame.image.shape


def test_same_frame_is_sent_once(open_server: Open, path: Path) -> None:
    server, frame = open_server(), make_frame()
    server.publish(make_message(make_scene(frame)))
    with live_reader(path) as reader:
        assert reader.read().picture
        server.publish(make_message(make_scene(frame, (make_shown(1, make_face(200)),))))
        update = reader.read()
    assert update.picture == b"" and len(update.view.faces) == 1


def test_view_without_change_comes_after_a_second(open_server: Open, path: Path) -> None:
    open_server()
    with live_reader(path) as reader:
        first, began = reader.read(), time.monotonic()
        assert reader.read().view == first.view
    assert time.monotonic() - began >= protocol.REPEAT_S


def test_faces_outside_the_zone_are_not_sent(open_server: Open, path: Path) -> None:
    server, frame = open_server(), make_frame()
    # The gallery is unreadable: the reason of the face outside is not `outside-zone`.
    outside = make_shown(1, make_face(240, width=150), Reason.GALLERY_UNREADABLE)
    inside = make_shown(2, make_face(420), Reason.TOO_DARK)
    server.publish(make_message(make_scene(frame, (outside, inside), zone=RIGHT_HALF)))
    with live_reader(path) as reader:
        update = reader.read()
    (face,) = update.view.faces
    assert face.track == 2 and face.nearest and face.reason == "too-dark"
    assert face.box == (0.3125, 0.2083, 0.5625, 0.4167)
    found = cv2.imdecode(np.frombuffer(update.picture, np.uint8), cv2.IMREAD_COLOR)
    assert found.shape == (480, 320, 3)
    assert np.ptp(found[120:270, 5:90].astype(int)) < 40  # its part within the zone is hidden
    assert np.ptp(found[120:270, 130:200].astype(int)) > 100


def test_nearest_face_is_the_widest_in_the_zone(open_server: Open, path: Path) -> None:
    server = open_server()
    faces = (
        make_shown(1, make_face(20, width=200)),
        make_shown(2, make_face(340, width=60)),
        make_shown(3, make_face(420, width=90)),
    )
    server.publish(make_message(make_scene(make_frame(), faces, zone=RIGHT_HALF)))
    with live_reader(path) as reader:
        view = reader.read().view
    assert {face.track: face.nearest for face in view.faces} == {2: False, 3: True}


@pytest.mark.parametrize(("track", "is_shown"), [(1, False), (2, True), (9, False)])
def test_answer_of_a_hidden_face_is_not_sent(
    open_server: Open, path: Path, track: int, is_shown: bool
) -> None:
    answer = LiveDoorAnswer(
        track=track, state="waiting", reason="enter-pin", missing=("pin",), at=100.2, until=115.0
    )
    faces = make_shown(1, make_face(20)), make_shown(2, make_face(420))
    server = open_server()
    scene = make_scene(make_frame(), faces, zone=RIGHT_HALF, answer=answer)
    server.publish(make_message(scene))
    with live_reader(path) as reader:
        assert reader.read().view.door == (answer if is_shown else None)


def test_view_has_no_names_and_scores(open_server: Open, path: Path) -> None:
    server = open_server()
    server.publish(make_message(make_scene(make_frame(), (make_shown(2, make_face(420)),))))
    with live_reader(path) as reader:
        (face,) = reader.read().view.faces
    assert set(face.model_dump()) == {"box", "track", "reason", "progress", "verdict", "nearest"}


def test_fifth_client_is_disconnected(open_server: Open, path: Path) -> None:
    open_server()
    with ExitStack() as opened:
        readers = [opened.enter_context(live_reader(path)) for _ in range(4)]
        assert all(reader.read() for reader in readers)
        with pytest.raises(RecogniserError, match="already has 4 clients"), live_reader(path) as it:
            it.read()
        assert readers[0].read()
    until(lambda: is_served(path), "a client is served after others have ended")


def test_clients_that_never_read_are_dropped(open_server: Open, path: Path) -> None:
    server = open_server(stall_s=0.2)
    with ExitStack() as opened:
        peers = [opened.enter_context(connect(path)) for _ in range(4)]
        for number in range(40):
            for peer in peers:
                try:
                    peer.send(protocol.NEXT)
                except ConnectionError:
                    continue
            server.publish(make_message(make_scene(make_frame(number))))
        until(lambda: count_threads() == 0, "the clients are dropped")
        assert is_served(path)


def test_silent_clients_are_dropped(open_server: Open, path: Path) -> None:
    open_server(stall_s=0.2)
    with ExitStack() as opened:
        peers = [opened.enter_context(connect(path)) for _ in range(4)]
        assert all(map(is_disconnected, peers))
    until(lambda: is_served(path), "a client is served")


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 70000, b"+\xff", b"-"])
def test_garbage_ends_the_connection(open_server: Open, path: Path, garbage: bytes) -> None:
    open_server()
    with connect(path) as peer:
        with suppress(ConnectionError):
            peer.sendall(garbage)
        assert is_disconnected(peer)
    until(lambda: is_served(path), "another client is served")


def test_thousand_connections_leave_no_threads(open_server: Open, path: Path) -> None:
    server = open_server()
    for number in range(1000):
        connect(path).close()
        server.publish(make_message(make_scene(None)))
        assert count_threads() <= protocol.CLIENTS_MAX, number
    until(lambda: count_threads() == 0, "all clients have ended")
    until(lambda: is_served(path), "a client is served")


def test_thousand_requests_at_once_are_answered(open_server: Open, path: Path) -> None:
    """Requests that come early wait for newer views: they do not keep the server busy."""
    server = open_server()
    with connect(path) as peer:
        peer.sendall(protocol.NEXT * 1000)
        for number in range(20):
            server.publish(make_message(make_scene(make_frame(number))))
        with live_reader(path) as reader:
            assert reader.read().view.number == 19


def test_publishing_never_waits_for_a_client(open_server: Open, path: Path) -> None:
    server = open_server()
    with connect(path) as peer:
        peer.sendall(protocol.NEXT)
        for number in range(200):  # far more than the buffers of a socket hold
            server.publish(make_message(make_scene(make_frame(number))))
    assert is_served(path)


def test_close_disconnects_clients(open_server: Open, path: Path) -> None:
    server = open_server()
    with live_reader(path) as reader:
        reader.read()
        server.close()
        with pytest.raises(RecogniserError, match="closed the connection"):
            reader.read()
    assert not path.exists()
    with pytest.raises(RecogniserError, match="cannot be reached"):
        LiveReader(path)


def test_socket_is_for_owner_and_group(open_server: Open, path: Path) -> None:
    open_server()
    assert path.stat().st_mode & 0o777 == 0o660
