"""Accept loop of a Unix stream socket: a thread passes each connection to a function."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge.system.unix_sockets import listen

log = logging.getLogger(__name__)

_BACKLOG = 16
_RETRY_S = 0.2  # after a connection that could not be accepted


class StreamServer:
    """Listens at a path and passes each connection to `admit`, which must not wait."""

    def __init__(self, path: Path, mode: int, admit: Callable[[socket.socket], None]) -> None:
        """Listen; the caller holds the lock file of the folder. Raises OSError."""
        self._path, self._admit = path, admit
        self._is_closed = False
        self._listener = listen(path, socket.SOCK_STREAM, mode, _BACKLOG)
        threading.Thread(target=self._accept, name=f"accept {path.name}", daemon=True).start()

    def close(self) -> None:
        """Accept no more connections; those that were accepted stay open."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                peer, _ = self._listener.accept()
                self._admit(peer)
            except (OSError, RuntimeError) as error:  # out of descriptors or threads for a while
                if not self._is_closed:
                    log.warning("%s: a client was not served: %s", self._path.name, error)
                    time.sleep(_RETRY_S)
