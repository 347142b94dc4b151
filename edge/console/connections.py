"""Limit of open connections: without it one client could use up the descriptors of the process."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import Counter
from typing import Any

from edge.console.accounts.login import client_network


class ConnectionLimit:
    """Counts open connections of each network address; threads may share it."""

    def __init__(self, total: int, of_network: int) -> None:
        self._total, self._of_network = total, of_network
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, network: str) -> bool:
        """Count a connection; return False if there are too many."""
        with self._lock:
            if self._open.total() >= self._total or self._open[network] >= self._of_network:
                return False
            self._open[network] += 1
            return True

    def leave(self, network: str) -> None:
        with self._lock:
            self._open[network] -= 1
            self._open += Counter()  # drops networks without a connection


class _Connection(socket.socket):
    """Accepted connection, counted until it is closed."""

    limit: ConnectionLimit
    network: str | None = None

    def close(self) -> None:
        super().close()
        if self.network is not None:
            self.limit.leave(self.network)
            self.network = None


class LimitedListener(socket.socket):
    """Listening socket that closes connections over a limit at once."""

    limit: ConnectionLimit

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; raises ConnectionAbortedError for one over the limit."""
        accepted, address = super().accept()
        network = client_network(str(address[0]))
        if not self.limit.enter(network):
            accepted.close()
            raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        connection = _Connection(self.family, self.type, self.proto, accepted.detach())
        connection.limit, connection.network = self.limit, network
        return connection, address
