"""Network cameras that tests control: real servers on this machine."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class MjpegCamera:
    """HTTP camera that sends `picture` at a rate until it is closed."""

    def __init__(self, picture: Image, *, fps: float = 15.0, port: int = 0) -> None:
        self.fps = fps
        self.served = 0
        self.show(picture)
        self._closed = threading.Event()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera.send(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    def show(self, picture: Image) -> None:
        self._jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()

    def send(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        due = time.monotonic()
        while not self._closed.is_set():
            head = (
                f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self._jpeg)}\r\n\r\n"
            )
            try:
                handler.wfile.write(head.encode() + self._jpeg + b"\r\n")
            except OSError:
                return
            self.served += 1
            due += 1 / self.fps
            self._closed.wait(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        """End every stream and refuse connections."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def mjpeg_camera(picture: Image, *, fps: float = 15.0) -> Iterator[MjpegCamera]:
    camera = MjpegCamera(picture, fps=fps)
    try:
        yield camera
    finally:
        camera.close()


@contextmanager
def mute_camera() -> Iterator[str]:
    """Yield the address of an RTSP camera that accepts connections and never answers."""
    kept = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
        server.shutdown(socket.SHUT_RDWR)
    for peer in kept:
        peer.close()


class VideoStream:
    """TCP camera that sends a video of numbered grey frames (H,W) once, at its own rate."""

    LEVELS = 200

    def __init__(self, path: Path, *, fps: float) -> None:
        self._fps = fps
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mpg1"), fps, (320, 240))
        noise = np.random.default_rng(0).integers(0, 20, (240, 320, 3), np.uint8)
        for level in range(self.LEVELS):
            writer.write(np.roll(noise, level, axis=0) + np.uint8(level))
        writer.release()
        self._data = path.read_bytes()
        self.sent = 0  # frames, about
        self._closed = threading.Event()
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._server.getsockname()[1]}"

    def level(self, picture: Image) -> float:
        """The number of a frame."""
        return float(picture.mean()) - 9.5

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        began, size = time.monotonic(), len(self._data)
        part = size // self.LEVELS
        with peer:
            for at in range(0, size, part):
                due = began + at / size * self.LEVELS / self._fps
                self._closed.wait(max(0.0, due - time.monotonic()))
                try:
                    peer.sendall(self._data[at : at + part])
                except OSError:
                    return
                self.sent = self.LEVELS * at // size

    def close(self) -> None:
        self._closed.set()
        self._server.close()
