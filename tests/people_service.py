"""Real service of edge-people, and a client of its socket."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
from pydantic import BaseModel

from edge.config import load_config
from edge.people_protocol import DoneEvent, PeopleEvent, RefusedEvent, encode, parse_event
from edge.portraits import Portrait, load_portrait
from tests.processes import TIMEOUT_S, Process, until

CALL = {"v": 1, "user": "ada"}


def photo_of(person: Portrait) -> tuple[str, bytes]:
    """Return name and bytes of a photo."""
    return f"{person.person}.png", bytes(cv2.imencode(".png", load_portrait(person))[1])


class PeopleClient:
    """Connection with one request."""

    def __init__(self, path: Path, request: BaseModel | bytes, payload: bytes = b"") -> None:
        line = request if isinstance(request, bytes) else encode(request)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before its end
            self.socket.sendall(line + payload)
        self.file = self.socket.makefile("rb")

    def next(self) -> PeopleEvent | None:
        """Return the next event, None at the end."""
        line = self.file.readline()
        return parse_event(line) if line else None

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def call(path: Path, request: BaseModel | bytes, payload: bytes = b"") -> list[Any]:
    """Return all events of a request."""
    with closing(PeopleClient(path, request, payload)) as client:
        return list(iter(client.next, None))


def finish(path: Path, request: BaseModel | bytes, payload: bytes = b"") -> Any:
    """Return the last event of a request, which ends it."""
    last = call(path, request, payload)[-1]
    assert isinstance(last, (DoneEvent, RefusedEvent))
    return last


@contextmanager
def people_service(config_path: Path) -> Iterator[Path]:
    """Run the service of a configuration; yield the path of its socket."""
    # A socket's path may have 107 bytes, and folders of tests are long.
    with tempfile.TemporaryDirectory(prefix="mfsa-people-") as folder:
        configured = load_config(config_path).console.people_socket
        path = configured or Path(folder) / "people.sock"
        options = ("serve", "--config", config_path, "--socket", path)
        log = config_path.parent / "edge-people.log"
        with Process("edge.cli.people", *options, log=log) as process:
            until(path.exists, "edge-people listens")
            yield path
            assert process.stop() == 0
        assert "Traceback" not in log.read_text()
