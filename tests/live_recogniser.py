"""Live socket that tests control: the protocol of docs/live-socket.md without a camera."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ANSWER_S = 1.0
_TIMES = {"edges": [0.1], "counts": [0, 0], "sum": 0.0}
_STATISTICS = {
    "started": 0.0,
    "frames": 1,
    "dropped": 0,
    "faces": 0,
    "decision_s": _TIMES,
    "answer_s": _TIMES,
    "engine": "ort",
    "model": "0" * 12,
    "subjects": 1,
    "templates": 1,
    "supported_templates": 1000,
}


def make_face(**changes: Any) -> dict[str, Any]:
    """Return a face in the middle of the picture, with changes."""
    face = {
        "box": [0.35, 0.2, 0.65, 0.7],
        "track": 1,
        "reason": "insufficient-votes",
        "progress": 0.5,
        "verdict": "pending",
        "nearest": True,
    }
    return face | changes


def make_answer(state: str, **changes: Any) -> dict[str, Any]:
    """Return an answer of the door to the face of `make_face`, with changes."""
    answer = {
        "track": 1,
        "state": state,
        "reason": "",
        "missing": [],
        "at": time.monotonic(),
        "until": None,
    }
    return answer | changes


def make_view(*faces: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a view with faces, of the present moment, with changes."""
    view = {
        "at": time.monotonic(),
        "wall": time.time(),
        "number": 1,
        "width": 640,
        "height": 480,
        "camera": "ready",
        "faces": list(faces),
        "door": None,
        "stats": _STATISTICS,
    }
    return view | changes


class LiveRecogniser:
    """Sends the newest view to each client that asks, as the recogniser does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clients = 0
        self.header = struct.Struct("<4sBIQ")
        self.version = 1
        self._changed = threading.Condition()
        self._number = self._picture_number = 0
        self._details = b""
        self._picture = b""
        self._peers: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def show(self, view: dict[str, Any], picture: bytes = b"") -> None:
        """Set the newest view; without a picture the one before stays."""
        with self._changed:
            self._number += 1
            self._details = json.dumps(view).encode()
            if picture:
                self._picture, self._picture_number = picture, self._number
            self._changed.notify_all()

    def close(self) -> None:
        """End every connection and remove the socket."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                self.clients += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        sent = 0
        with contextlib.suppress(OSError), peer:
            while peer.recv(1) == b"+":
                details, picture, sent = self._next(sent)
                head = self.header.pack(b"LIVE", self.version, len(details), len(picture))
                peer.sendall(head + details + picture)
        self.clients -= 1

    def _next(self, sent: int) -> tuple[bytes, bytes, int]:
        with self._changed:
            self._changed.wait_for(lambda: self._number > sent, _ANSWER_S)
            self._changed.wait_for(lambda: self._number > 0)
            picture = self._picture if self._picture_number > sent else b""
            return self._details, picture, self._number


@contextmanager
def live_recogniser(path: Path) -> Iterator[LiveRecogniser]:
    server = LiveRecogniser(path)
    try:
        yield server
    finally:
        server.close()
