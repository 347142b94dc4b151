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
def lend(path: Path) -> Iterator[Open]:
    opened: list[FrameServer] = []

    def make(**times: float) -> FrameServer:
        opened.append(FrameServer(path, **times))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for lender in opened:
        lender.close()


@contextmanager
def borrowed(path: Path, **times: float) -> Iterator[RemoteCamera]:
    camera = RemoteCamera(path, **times)
    try:
        yield camera
    finally:
        camera.close()


def lent(path: Path) -> bool:
    """Return True if a client gets a frame within a generous time."""
    with borrowed(path) as camera, suppress(CameraError):
        return camera.read() is not None
    return False


def frame(number: int, *, height: int = 48, width: int = 64) -> Frame:
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Frame(image, time.monotonic(), number)


def begun(lender: FrameServer) -> FrameSession:
    until(lambda: lender.session is not None, "somebody borrows")
    assert lender.session is not None
    return lender.session


def over(lender: FrameServer, loan: FrameSession) -> str:
    until(lambda: lender.session is not loan, "the loan is over")
    return loan.ended


class Loop:
    """Loop that publishes and counts frames."""

    def __init__(self, lender: FrameServer, frames: Iterator[Frame]) -> None:
        self._stop = threading.Event()
        self.offered = 0
        self._thread = threading.Thread(target=self._run, args=(lender, frames))

    def _run(self, lender: FrameServer, frames: Iterator[Frame]) -> None:
        for one in frames:
            if self._stop.is_set():
                return
            if lender.session is not None:
                lender.publish(one)
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


def test_frames_arrive_unchanged(lend: Open, path: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for i in range(4):
        cv2.imwrite(str(clip / f"{i}.png"), frame(i).image)
    replay = ReplayCamera(clip, fps=200, loop=True)

    def taken() -> Iterator[Frame]:
        while (one := replay.read()) is not None:
            yield one

    lender = lend()
    with Loop(lender, taken()), borrowed(path) as camera:
        got = [camera.read() for _ in range(10)]
        loan = begun(lender)
    numbers = [one.number for one in got if one is not None]
    assert len(numbers) == 10 and numbers == sorted(set(numbers))
    for one in got:
        assert (
            one is not None
            and np.array_equal(one.image, frame(one.number % 4).image)
            and one.at > 0
        )
    assert over(lender, loan) == "finished" and loan.frames >= 10


def test_noncontiguous_picture_arrives(lend: Open, path: Path) -> None:
    lender, whole = lend(), frame(7)
    with borrowed(path) as camera:
        begun(lender)
        lender.publish(Frame(whole.image[:, ::-1], whole.at, 1))
        got = camera.read()
    assert got is not None and np.array_equal(got.image, whole.image[:, ::-1])


def test_newest_frame_wins_without_waiting(lend: Open, path: Path) -> None:
    lender = lend()
    with borrowed(path) as camera:
        begun(lender)
        lender.publish(frame(0))
        assert (first := camera.read()) is not None and first.number == 0
        for number in range(1, 200):  # while the client handles the first
            lender.publish(frame(number))
        assert (second := camera.read()) is not None and second.number == 199


def test_remote_frame_old_is_dropped(lend: Open, path: Path) -> None:
    lender = lend()
    with borrowed(path) as camera:
        begun(lender)
        lender.publish(Frame(frame(0).image, time.monotonic() - 1.5, 0))
        reader = Reader(camera)
        until(lambda: begun(lender).frames == 1, "the old frame is sent")
        lender.publish(frame(1))
        assert reader.frame().number == 1


def test_second_client_waits_for_first(lend: Open, path: Path) -> None:
    lender = lend()
    with Loop(lender, endless()):
        with borrowed(path) as first:
            assert first.read() is not None
            with (
                borrowed(path) as second,
                pytest.raises(CameraError, match="another enrollment uses"),
            ):
                second.read()
            assert first.read() is not None
        until(lambda: lender.session is None, "the first is done")
        with borrowed(path) as third:
            assert third.read() is not None


def test_session_gets_no_earlier_frame(lend: Open, path: Path) -> None:
    lender = lend()
    lender.publish(frame(1))
    with borrowed(path) as camera:
        begun(lender)
        lender.publish(frame(2))
        assert (got := camera.read()) is not None and got.number == 2


def test_stalled_client_loses_camera(lend: Open, path: Path) -> None:
    """The loop continues when a client reads no frames, larger than the socket's buffer."""
    lender = lend(stall_s=0.2)
    with (
        Loop(lender, endless(height=1500, width=2000)) as loop,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.connect(str(path))
        loan = begun(lender)
        assert over(lender, loan) == "stalled"
        offered = loop.offered
        until(lambda: lent(path), "the next one gets the camera")
        assert loop.offered > offered


def test_client_without_request_loses_camera(lend: Open, path: Path) -> None:
    lender = lend(stall_s=0.2)
    with Loop(lender, endless()), borrowed(path) as camera:
        assert camera.read() is not None
        assert over(lender, begun(lender)) == "stalled"


def test_session_time_is_limited(lend: Open, path: Path) -> None:
    lender = lend(session_s=0.3)
    with (
        Loop(lender, endless()),
        borrowed(path) as camera,
        pytest.raises(CameraError, match="ended the session"),
    ):
        while True:
            camera.read()
    until(lambda: lender.session is None, "over")


def test_session_ends_without_frames(lend: Open, path: Path) -> None:
    lender = lend(session_s=0.3)
    with borrowed(path):
        assert over(lender, begun(lender)) == "time-up"


def test_disconnect_before_frame_is_noticed(lend: Open, path: Path) -> None:
    lender = lend()
    with borrowed(path):
        loan = begun(lender)
    assert over(lender, loan) == "finished"


def test_camera_without_frames_is_reported(lend: Open, path: Path) -> None:
    lend()
    with (
        borrowed(path, timeout_s=0.2) as camera,
        pytest.raises(CameraError, match="sends no frames"),
    ):
        camera.read()


def test_server_end_is_noticed_and_removes_socket(lend: Open, path: Path) -> None:
    lender = lend()
    with Loop(lender, endless()), borrowed(path) as camera:
        assert camera.read() is not None
        lender.close()
        with pytest.raises(
            CameraError, match=r"ended the session|closed the connection|sends no frames"
        ):
            while True:
                camera.read()
    assert not path.exists()
    with pytest.raises(CameraError, match="cannot be reached"):
        RemoteCamera(path)


def test_socket_is_private_to_account(
    lend: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lender = lend()
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(sharing, "peer_uid", lambda peer: os.geteuid() + 1)
    with borrowed(path) as camera, pytest.raises(CameraError, match="refuses this account"):
        camera.read()
    assert lender.session is None


def test_stale_socket_is_replaced(lend: Open, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    lender = lend()
    with Loop(lender, endless()), borrowed(path) as camera:
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


def test_invalid_client_bytes_change_nothing(lend: Open, path: Path) -> None:
    lender = lend()
    with Loop(lender, endless()):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(str(path))
                rude.sendall(os.urandom(100))
                assert rude.recv(1)  # the connection is served
            until(lambda: lender.session is None, "gone")
        with borrowed(path) as camera:
            assert camera.read() is not None


def test_unusable_socket_path_is_reported(tmp_path: Path) -> None:
    for place in (tmp_path / "none" / "enroll.sock", tmp_path / ("x" * 120)):
        with pytest.raises(CameraError, match="cannot listen"):
            FrameServer(place)
