"""Connections of the door's socket: peers by account (SO_PEERCRED), limited per account."""

from __future__ import annotations

import logging
import selectors
import socket
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from edge.door import protocol
from edge.errors import DoorError
from edge.system.unix_sockets import listen, peer_uid

log = logging.getLogger(__name__)

_A_CLIENT_MAX = 4  # connections of one account that is no operator
_CLIENTS_MAX = 8  # of all accounts that are no operators
_OPERATORS_MAX = 8  # counted apart: a client cannot keep operators out


class Connections:
    """Listening socket and its connections."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`. Raises DoorError."""
        self._path = path
        self._clients: Collection[int] = ()
        self._operators: Collection[int] = ()
        self._uids: dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def update_accounts(self, clients: Collection[int], operators: Collection[int]) -> None:
        """Set the user ids that may connect; others are disconnected."""
        self._clients, self._operators = clients, operators
        for peer in [
            peer for peer, uid in self._uids.items() if uid not in clients and uid not in operators
        ]:
            self._drop(peer)

    def receive(self, timeout_s: float) -> Iterator[tuple[socket.socket, int, bytes]]:
        """Yield connection, user id and packet of what arrives within some time."""
        for key, _ in self._selector.select(timeout_s):
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            if peer is self._listener:
                self._accept()
            elif peer in self._uids and (packet := self._receive(peer)):
                yield peer, self._uids[peer], packet

    def send(self, peer: socket.socket, packet: bytes) -> None:
        try:
            peer.send(packet)
        except OSError:
            log.warning("a client disconnected before its answer")

    def close(self) -> None:
        for peer in list(self._uids):
            self._drop(peer)
        self._selector.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        peer.setblocking(False)
        uid = peer_uid(peer)
        if not self._is_admissible(uid):
            log.warning("refused a connection of user %d: not configured, or too many", uid)
            peer.close()
            return
        self._uids[peer] = uid
        self._selector.register(peer, selectors.EVENT_READ)

    def _is_admissible(self, uid: int) -> bool:
        if uid in self._operators:
            return sum(other in self._operators for other in self._uids.values()) < _OPERATORS_MAX
        clients = Counter(other for other in self._uids.values() if other not in self._operators)
        return (
            uid in self._clients and clients[uid] < _A_CLIENT_MAX and clients.total() < _CLIENTS_MAX
        )

    def _receive(self, peer: socket.socket) -> bytes:
        """Return a packet, empty if there is none or the peer disconnected."""
        try:
            packet = peer.recv(protocol.PACKET_MAX)
        except BlockingIOError:
            return b""
        except OSError:
            packet = b""
        if not packet:
            self._drop(peer)
        return packet

    def _drop(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        self._uids.pop(peer, None)
        peer.close()


def _listen(path: Path) -> socket.socket:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        listener = listen(path, socket.SOCK_SEQPACKET, 0o660, _CLIENTS_MAX + _OPERATORS_MAX)
    except OSError as error:
        raise DoorError(
            f"{path}: cannot listen: {error.strerror or error}; check the folder and its rights"
        ) from error
    listener.setblocking(False)
    return listener
