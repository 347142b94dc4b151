"""Simulated reader: a datagram socket that accepts cards and PINs as text."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Sequence
from pathlib import Path

from edge.door.readers.card_formats import parse_card
from edge.door.readers.events import Malformation, PinEntered, ReaderInput, ReadMalformed
from edge.errors import DoorError
from edge.system.unix_sockets import bind_datagrams

_LINE_MAX = 128  # bytes


class SimulatedReader:
    """Reads `card 26:12:3456` and `pin 1234`, one line for each datagram, for demo and tests."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def open(self) -> None:
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._socket = bind_datagrams(self._path, 0o600)
        except OSError as error:
            raise DoorError(
                f"{self._path}: cannot listen: {error.strerror or error}; "
                "check the folder and its rights"
            ) from error

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        assert self._socket is not None, "not open"
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return ()
        try:
            return (parse_line(self._socket.recv(_LINE_MAX + 1)),)
        except BlockingIOError:
            return ()
        except OSError as error:
            raise DoorError(f"{self._path}: cannot receive: {error.strerror}") from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                self._path.unlink()


def send_line(path: Path, line: str) -> None:
    """Send a line such as `pin 1234` to the simulated reader at a path. Raises DoorError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(line.encode("ascii"), str(path))
    except OSError as error:
        raise DoorError(
            f"{path}: no reader receives: {error.strerror or error}; is edge-door running?"
        ) from error


def parse_line(line: bytes) -> ReaderInput:
    """Return the input of a line; malformed input never raises."""
    try:
        if len(line) > _LINE_MAX:
            raise ValueError
        kind, _, value = line.decode("ascii").strip().partition(" ")
        if kind == "card":
            return parse_card(value)
        if kind == "pin" and value:
            return PinEntered(value)
    except ValueError:
        pass
    return ReadMalformed(Malformation.SYNTAX)
