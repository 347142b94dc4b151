"""Service of edge-people: one process for each connection."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import time
from pathlib import Path
from types import FrameType

from edge.config import TerminalConfig, load_config
from edge.errors import CameraError, ConfigError, MfsaError, PhotoError
from edge.people.changes import NotEnrolledError
from edge.people.connection import ClientConnection, ClientGoneError
from edge.people.requests import RequestExecutor
from edge.people_protocol import PeopleProtocolError, PeopleRefusal, RefusedEvent
from edge.system.accounts import CONSOLE_ACCOUNT, account_name, account_uid
from edge.system.unix_sockets import listen, peer_uid

log = logging.getLogger(__name__)

SOCKET_MODE = 0o660
PROCESSES_MAX = 8
_BACKLOG, _POLL_MS = 16, 200


def handle(peer: socket.socket, config_path: Path) -> None:
    """Serve one connection to its end."""
    client = ClientConnection(peer)
    with contextlib.suppress(ClientGoneError), peer:
        try:
            account = _check_account(peer_uid(peer))
            request = client.read_request()
            executor = RequestExecutor(_load(config_path), client, account)
            client.end(executor.execute(request))
        except ClientGoneError as error:
            log.info("%s", error)
        except Exception as error:
            client.end(_refusal_of(error))


def _load(path: Path) -> TerminalConfig:
    try:
        return load_config(path)
    except ConfigError:
        log.exception("the configuration cannot be read")
        raise MfsaError(
            f"{path}: the configuration is not valid; run edge-doctor on the terminal"
        ) from None


def _check_account(uid: int) -> str:
    """Return the name of the client's account. Raises PeopleProtocolError."""
    name = account_name(uid)
    if uid not in (0, os.geteuid(), account_uid(CONSOLE_ACCOUNT)):
        log.warning("refused the account %s", name)
        raise PeopleProtocolError(
            PeopleRefusal.WRONG_ACCOUNT,
            f"{name}: expected root or {CONSOLE_ACCOUNT}; run this by that account",
        )
    return name


def _refusal_of(error: Exception) -> RefusedEvent:
    """Return the last event of a request that failed."""
    if isinstance(error, PhotoError):
        return RefusedEvent(code=error.reason, text=str(error))
    if isinstance(error, PeopleProtocolError):
        return RefusedEvent(code=error.code.value, text=str(error))
    kinds: tuple[tuple[type[MfsaError], PeopleRefusal], ...] = (
        (NotEnrolledError, PeopleRefusal.NOT_ENROLLED),
        (CameraError, PeopleRefusal.CAMERA_FAILED),
        (MfsaError, PeopleRefusal.REFUSED),
    )
    for kind, code in kinds:
        if isinstance(error, kind):
            return RefusedEvent(code=code.value, text=str(error))
    log.error("a request failed", exc_info=error)
    internal = PeopleRefusal.INTERNAL
    return RefusedEvent(code=internal.value, text=internal.sentence)


class PeopleServer:
    """Listens at a socket and serves each connection in a child process, until SIGTERM.

    For terminals without systemd. It has no threads, so that its children may fork.
    """

    def __init__(self, path: Path, config_path: Path) -> None:
        """Listen. Raises OSError."""
        self._config_path = config_path
        self._listener = listen(path, socket.SOCK_STREAM, SOCKET_MODE, _BACKLOG)
        self._children: set[int] = set()
        self._is_stopped = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        ready = select.poll()
        ready.register(self._listener, select.POLLIN)
        while not self._is_stopped:
            self._reap()
            if len(self._children) >= PROCESSES_MAX:
                time.sleep(_POLL_MS / 1000)  # a waiting client would end each poll at once
            elif ready.poll(_POLL_MS) and not self._is_stopped:
                self._accept()
        self._listener.close()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopped = True

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        child = os.fork()
        if child:
            peer.close()
            self._children.add(child)
            return
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._listener.close()
            handle(peer, self._config_path)
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Collect children that have ended."""
        for child in list(self._children):
            if os.waitpid(child, os.WNOHANG)[0]:
                self._children.remove(child)
