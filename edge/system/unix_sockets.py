"""Unix sockets at a path, and the account of a peer."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_UCRED = struct.Struct("3i")


def peer_uid(peer: socket.socket) -> int:
    """Return the user id of the process at the other end (SO_PEERCRED, unix(7))."""
    return int(
        _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1]
    )


def receive_exactly(peer: socket.socket, size: int) -> bytearray | None:
    """Return `size` bytes, None if the peer closes the connection before. Raises OSError."""
    data = bytearray(size)
    view, received = memoryview(data), 0
    while received < size:
        count = peer.recv_into(view[received:])
        if not count:
            return None
        received += count
    return data


def connect(path: Path, kind: socket.SocketKind, timeout_s: float) -> socket.socket:
    """Return a connection to the socket at `path`, with a timeout for each call. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, kind)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def listen(path: Path, kind: socket.SocketKind, mode: int, backlog: int) -> socket.socket:
    """Replace the socket that an ended process left at `path` and listen there.

    The caller holds the lock file of the folder. Raises OSError.
    """
    listener = _bind(path, kind, mode)
    try:
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def bind_datagrams(path: Path, mode: int) -> socket.socket:
    """Return a socket that receives datagrams at `path` and does not block. Raises OSError."""
    receiver = _bind(path, socket.SOCK_DGRAM, mode)
    receiver.setblocking(False)
    return receiver


def _bind(path: Path, kind: socket.SocketKind, mode: int) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, kind)
    try:
        path.unlink(missing_ok=True)
        previous = os.umask(0o777 & ~mode)
        try:
            bound.bind(str(path))
        finally:
            os.umask(previous)
    except OSError:
        bound.close()
        raise
    return bound
