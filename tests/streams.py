"""Cameras on the network that tests control: real servers on this machine."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class MjpegCamera:
    """An HTTP camera that sends `picture` at a rate until it is closed."""

    def __init__(self, picture: Image, *, fps: float = 15.0, port: int = 0) -> None:
        self.fps = fps
        self.served = 0
        self.show(picture)
        self._open = True
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
        while self._open:
            head = (
                f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self._jpeg)}\r\n\r\n"
            )
            try:
                handler.wfile.write(head.encode() + self._jpeg + b"\r\n")
            except OSError:
                return
            self.served += 1
            due += 1 / self.fps
            time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        """End every stream and refuse connections."""
        self._open = False
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
    """The address of an RTSP camera that accepts connections and says nothing."""
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
