"""Who is connected to the door's socket: accounts by the kernel's word, so many and no more, each heard one packet at a time."""

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

_A_CLIENT_MAX = 4  # connections of one account that may only ask
_CLIENTS_MAX = 8  # of all that may only ask
_OPERATORS_MAX = 8  # beside these: nobody who may only ask can keep an operator out


class Connections:
    """The listening socket and its connections."""

    def __init__(self, path: Path) -> None:
        """Raises DoorError."""
        self._path = path
        self._clients: Collection[int] = ()
        self._operators: Collection[int] = ()
        self._uids: dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def update_accounts(self, clients: Collection[int], operators: Collection[int]) -> None:
        """User numbers that may be connected from now on; others are hung up on."""
        self._clients, self._operators = clients, operators
        for peer in [
            peer for peer, uid in self._uids.items() if uid not in clients and uid not in operators
        ]:
            self._drop(peer)

    def receive(self, timeout_s: float) -> Iterator[tuple[socket.socket, int, bytes]]:
        """What came within some time: connection, user number, packet."""
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
            log.warning("a client went away before its answer")

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
        if not self._has_room(uid):
            log.warning("refused a connection of user %d", uid)
            peer.close()
            return
        self._uids[peer] = uid
        self._selector.register(peer, selectors.EVENT_READ)

    def _has_room(self, uid: int) -> bool:
        if uid in self._operators:
            return sum(other in self._operators for other in self._uids.values()) < _OPERATORS_MAX
        asking = Counter(other for other in self._uids.values() if other not in self._operators)
        return (
            uid in self._clients and asking[uid] < _A_CLIENT_MAX and asking.total() < _CLIENTS_MAX
        )

    def _receive(self, peer: socket.socket) -> bytes:
        """Empty where there is nothing, or nobody any more."""
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
            f"{path}: cannot listen there: {error.strerror or error}; check folder and rights"
        ) from error
    listener.setblocking(False)
    return listener
