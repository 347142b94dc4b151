"""Blocking client of the recogniser's live socket."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from edge.errors import RecogniserError
from edge.live import protocol
from edge.live.protocol import LiveView
from edge.system.unix_sockets import connect, receive_exactly


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """View with its picture as JPEG; empty if there is no newer picture than the last one."""

    view: LiveView
    picture: bytes


class LiveReader:
    """Reads views, the newest one each time. Call `read` at least every few seconds."""

    def __init__(self, path: Path, *, timeout_s: float = protocol.STALL_S) -> None:
        """Connect to a recogniser. Raises RecogniserError."""
        self._path = path
        try:
            self._socket = connect(path, socket.SOCK_STREAM, timeout_s)
        except OSError as error:
            raise RecogniserError(
                f"{path}: edge-daemon cannot be reached: {error.strerror or error}; is it running, "
                "and is this account in its group?"
            ) from error

    def read(self) -> LiveUpdate:
        """Return the newest view; waits for one that was not returned before, at most a second.

        Raises RecogniserError if the recogniser does not answer, or ended.
        """
        try:
            self._socket.sendall(protocol.NEXT)
            sizes = protocol.parse_header(self._receive(protocol.HEADER_SIZE))
            view = protocol.parse_view(self._receive(sizes.view))
            return LiveUpdate(view, self._receive(sizes.picture))
        except RecogniserError:
            raise
        except ConnectionError as error:
            raise self._closed() from error
        except OSError as error:
            raise RecogniserError(
                f"{self._path}: edge-daemon does not answer: {error.strerror or error}"
            ) from error

    def close(self) -> None:
        self._socket.close()

    def _receive(self, size: int) -> bytes:
        data = receive_exactly(self._socket, size)
        if data is None:
            raise self._closed()
        return bytes(data)

    def _closed(self) -> RecogniserError:
        return RecogniserError(
            f"{self._path}: edge-daemon closed the connection; it stopped, or already has "
            f"{protocol.CLIENTS_MAX} clients"
        )
