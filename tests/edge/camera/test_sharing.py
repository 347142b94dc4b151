from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import sharing
from edge.camera.replay import ReplayCamera
from edge.camera.sharing import FrameServer, FrameSession, RemoteCamera
from edge.errors import CameraError
from edge.values import Frame
from tests.processes import TIMEOUT_S, until

Open = Callable[..., FrameServer]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "enroll.sock"


@pytest.fixture
def open_server(path: Path) -> Iterator[Open]:
    opened: list[FrameServer] = []

    def make(**times: float) -> FrameServer:
        opened.append(FrameServer(path, **times))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for server in opened:
        server.close()


@contextmanager
def connect(path: Path, **times: float) -> Iterator[RemoteCamera]:
    camera = RemoteCamera(path, **times)
    try:
        yield camera
    finally:
        camera.close()


def is_served(path: Path) -> bool:
    """Return True if a client gets a frame within a generous time."""
    with connect(path) as camera, suppress(CameraError):
        return camera.read() is not None
    return False


def frame(number: int, *, height: int = 48, width: int = 64) -> Frame:
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Frame(image, time.monotonic(), number)


def wait_session(server: FrameServer) -> FrameSession:
    until(lambda: server.session is not None, "a session starts")
    assert server.session is not None
    return server.session


def wait_ended(server: FrameServer, session: FrameSession) -> str:
    until(lambda: server.session is not session, "the session ends")
    assert session.ended is not None
    return session.ended


class Loop:
    """Loop that publishes and counts frames."""

    def __init__(self, server: FrameServer, frames: Iterator[Frame]) -> None:
        self._stop = threading.Event()
        self.offered = 0
        self._thread = threading.Thread(target=self._run, args=(server, frames))

    def _run(self, server: FrameServer, frames: Iterator[Frame]) -> None:
        for one in frames:
            if self._stop.is_set():
                return
            if server.session is not None:
                server.publish(one)
                self.offered += 1
            self._stop.wait(0.001)

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class Reader:
    """Reads one frame in a thread."""

    def __init__(self, camera: RemoteCamera) -> None:
        self._frames: list[Frame | None] = []
        self._thread = threading.Thread(target=lambda: self._frames.append(camera.read()))
        self._thread.start()

    def frame(self) -> Frame:
        self._thread.join()
        assert self._frames and self._frames[0] is not None
        return self._frames[0]


def endless(**size: int) -> Iterator[Frame]:
    number = 0
    while True:
        yield frame(number, **size)
        number += 1


def test_frames_arrive_unchanged(open_server: Open, path: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for i in range(4):
        cv2.imwrite(str(clip / f"{i}.png"), frame(i).image)
    replay = ReplayCamera(clip, fps=200, loop=True)

    def taken() -> Iterator[Frame]:
        while (one := replay.read()) is not None:
            yield one

    server = open_server()
    with Loop(server, taken()), connect(path) as camera:
        got = [camera.read() for _ in range(10)]
        session = wait_session(server)
    numbers = [one.number for one in got if one is not None]
    assert len(numbers) == 10 and numbers == sorted(set(numbers))
    for one in got:
        assert (
            one is not None
            and np.array_equal(one.image, frame(one.number % 4).image)
            and one.at > 0
        )
    assert wait_ended(server, session) == "finished" and session.frames >= 10


def test_noncontiguous_picture_arrives(open_server: Open, path: Path) -> None:
    server, sent = open_server(), frame(7)
    with connect(path) as camera:
        wait_session(server)
        server.publish(Frame(sent.image[:, ::-1], sent.at, 1))
        got = camera.read()
    assert got is not None and np.array_equal(got.image, sent.image[:, ::-1])


def test_newest_frame_wins_without_waiting(open_server: Open, path: Path) -> None:
    server = open_server()
    with connect(path) as camera:
        wait_session(server)
        server.publish(frame(0))
        assert (first := camera.read()) is not None and first.number == 0
        for number in range(1, 200):  # while the client handles the first
            server.publish(frame(number))
        assert (second := camera.read()) is not None and second.number == 199


def test_remote_frame_old_is_dropped(open_server: Open, path: Path) -> None:
    server = open_server()
    with connect(path) as camera:
        wait_session(server)
        server.publish(Frame(frame(0).image, time.monotonic() - 1.5, 0))
        reader = Reader(camera)
        until(lambda: wait_session(server).frames == 1, "the old frame is sent")
        server.publish(frame(1))
        assert reader.frame().number == 1


def test_second_client_waits_for_first(open_server: Open, path: Path) -> None:
    server = open_server()
    with Loop(server, endless()):
        with connect(path) as first:
            assert first.read() is not None
            with (
                connect(path) as second,
                pytest.raises(CameraError, match="another enrollment uses"),
            ):
                second.read()
            assert first.read() is not None
        until(lambda: server.session is None, "the first is done")
        with connect(path) as third:
            assert third.read() is not None


def test_session_gets_no_earlier_frame(open_server: Open, path: Path) -> None:
    server = open_server()
    server.publish(frame(1))
    with connect(path) as camera:
        wait_session(server)
        server.publish(frame(2))
        assert (got := camera.read()) is not None and got.number == 2


def test_stalled_client_loses_camera(open_server: Open, path: Path) -> None:
    """The loop continues when a client reads no frames, larger than the socket's buffer."""
    server = open_server(stall_s=0.2)
    with (
        Loop(server, endless(height=1500, width=2000)) as loop,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.connect(str(path))
        session = wait_session(server)
        assert wait_ended(server, session) == "stalled"
        offered = loop.offered
        until(lambda: is_served(path), "the next client gets the camera")
        assert loop.offered > offered


def test_client_without_request_loses_camera(open_server: Open, path: Path) -> None:
    server = open_server(stall_s=0.2)
    with Loop(server, endless()), connect(path) as camera:
        assert camera.read() is not None
        assert wait_ended(server, wait_session(server)) == "stalled"


def test_session_time_is_limited(open_server: Open, path: Path) -> None:
    server = open_server(session_s=0.3)
    with (
        Loop(server, endless()),
        connect(path) as camera,
        pytest.raises(CameraError, match="ended the session"),
    ):
        while True:
            camera.read()
    until(lambda: server.session is None, "over")


def test_session_ends_without_frames(open_server: Open, path: Path) -> None:
    server = open_server(session_s=0.3)
    with connect(path):
        assert wait_ended(server, wait_session(server)) == "time-up"


def test_disconnect_before_frame_is_noticed(open_server: Open, path: Path) -> None:
    server = open_server()
    with connect(path):
        session = wait_session(server)
    assert wait_ended(server, session) == "finished"


def test_camera_without_frames_is_reported(open_server: Open, path: Path) -> None:
    open_server()
    with (
        connect(path, timeout_s=0.2) as camera,
        pytest.raises(CameraError, match="sends no frames"),
    ):
        camera.read()


def test_server_end_is_noticed_and_removes_socket(open_server: Open, path: Path) -> None:
    server = open_server()
    with Loop(server, endless()), connect(path) as camera:
        assert camera.read() is not None
        server.close()
        with pytest.raises(
            CameraError, match=r"ended the session|closed the connection|sends no frames"
        ):
            while True:
                camera.read()
    assert not path.exists()
    with pytest.raises(CameraError, match="cannot be reached"):
        RemoteCamera(path)


def test_socket_is_private_to_account(
    open_server: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = open_server()
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(sharing, "peer_uid", lambda peer: os.geteuid() + 1)
    with connect(path) as camera, pytest.raises(CameraError, match="refuses this account"):
        camera.read()
    assert server.session is None


def test_stale_socket_is_replaced(open_server: Open, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = open_server()
    with Loop(server, endless()), connect(path) as camera:
        assert camera.read() is not None


@pytest.mark.parametrize(
    "answer", [b"", b"x" * sharing.HEADER.size, sharing.HEADER.pack(sharing.FRAME, 0, 9, 0, 0)]
)
def test_foreign_server_is_reported(path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        camera = RemoteCamera(path, timeout_s=TIMEOUT_S)
        peer, _ = listener.accept()
        peer.sendall(answer)
        peer.close()
        with pytest.raises(CameraError):
            camera.read()
        camera.close()


def test_invalid_client_bytes_change_nothing(open_server: Open, path: Path) -> None:
    server = open_server()
    with Loop(server, endless()):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(os.urandom(100))
                assert client.recv(1)  # the connection is served
            until(lambda: server.session is None, "gone")
        with connect(path) as camera:
            assert camera.read() is not None


def test_unusable_socket_path_is_reported(tmp_path: Path) -> None:
    for place in (tmp_path / "none" / "enroll.sock", tmp_path / ("x" * 120)):
        with pytest.raises(CameraError, match="cannot listen"):
            FrameServer(place)
