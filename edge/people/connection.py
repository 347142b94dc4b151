"""Connection of a client of edge-people: one request, then events."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from pydantic import BaseModel

from edge.errors import MfsaError
from edge.people_protocol import (
    REQUEST_MAX,
    PeopleProtocolError,
    PeopleRefusal,
    PeopleRequest,
    encode,
    parse_request,
)
from edge.system.unix_sockets import receive_exactly

_TIMEOUT_S = 30.0  # for each read and write
_END_S = 2.0  # for what a refused client still sends
_CHUNK = 1 << 16


class ClientGoneError(MfsaError):
    """The client closed the connection: the request is cancelled."""


class ClientConnection:
    """Reads the request of a client, and sends events to it."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        peer.settimeout(_TIMEOUT_S)

    def read_request(self) -> PeopleRequest:
        """Return the request. Raises PeopleProtocolError, ClientGoneError."""
        line = bytearray()
        while not line.endswith(b"\n"):
            # No more than the line: photos follow it.
            if len(line) >= REQUEST_MAX:
                raise PeopleProtocolError(
                    PeopleRefusal.INVALID_REQUEST,
                    f"the request is larger than {REQUEST_MAX} bytes",
                )
            line += self._receive_line_part(REQUEST_MAX - len(line))
        return parse_request(bytes(line))

    def _receive_line_part(self, most: int) -> bytes:
        """Receive at most to the end of the line."""
        try:
            waiting = self._peer.recv(most, socket.MSG_PEEK)
            part = waiting[: waiting.find(b"\n") + 1] or waiting
            received = self._peer.recv(len(part))
        except OSError as error:
            raise ClientGoneError(f"no request: {error}") from error
        if not received:
            raise ClientGoneError("no request: the client closed the connection")
        return received

    def read_bytes(self, size: int) -> bytes:
        """Return bytes that follow the request. Raises ClientGoneError."""
        try:
            found = receive_exactly(self._peer, size)
        except OSError as error:
            raise ClientGoneError(f"the photos did not arrive: {error}") from error
        if found is None:
            raise ClientGoneError("the client closed the connection before its photos arrived")
        return bytes(found)

    def send(self, event: BaseModel, payload: bytes = b"") -> None:
        """Send an event and the bytes that belong to it. Raises ClientGoneError."""
        try:
            self._peer.sendall(encode(event) + payload)
        except OSError as error:
            raise ClientGoneError(f"the client does not read: {error}") from error

    def end(self, event: BaseModel) -> None:
        """Send the last event, and take what the client still sends.

        A connection that is closed with unread bytes loses the event. Raises ClientGoneError.
        """
        self.send(event)
        ends_at = time.monotonic() + _END_S
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_WR)
            while (left_s := ends_at - time.monotonic()) > 0:
                self._peer.settimeout(left_s)
                if not self._peer.recv(_CHUNK):
                    return

    def check_open(self) -> None:
        """Raise ClientGoneError if the client has closed the connection."""
        ready = select.poll()
        ready.register(self._peer, select.POLLIN)
        if not ready.poll(0):
            return
        try:
            is_open = bool(self._peer.recv(1, socket.MSG_PEEK))
        except OSError:
            is_open = False
        if not is_open:
            raise ClientGoneError("cancelled: the client closed the connection")
