"""Child process that keeps the account of root while its parent gives it up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator

from edge.errors import MfsaError

Work = Callable[[list[str]], None]  # gets names; raises MfsaError


@contextlib.contextmanager
def start_privileged_child(work: Work) -> Iterator[Work]:
    """Yield a function that runs `work` in a child process with the present account.

    It can be called once. The child gets nothing but names, and waits for them until this process
    ends. Call this before threads start. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        os._exit(_serve(theirs, work))
    theirs.close()
    try:
        yield lambda names: _ask(ours, names)
    finally:
        ours.close()
        os.waitpid(child, 0)


def _ask(connection: socket.socket, names: list[str]) -> None:
    connection.sendall(json.dumps(names).encode())
    connection.shutdown(socket.SHUT_WR)
    if message := _read(connection):
        raise MfsaError(message.decode())


def _serve(connection: socket.socket, work: Work) -> int:
    """Run the work once; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides what Ctrl-C ends
    message = ""
    try:
        if asked := _read(connection):
            work([str(name) for name in json.loads(asked)])
    except MfsaError as error:
        message = str(error)
    except BaseException as error:
        message = repr(error)
    with contextlib.suppress(OSError):
        connection.sendall(message.encode())
    return 1 if message else 0


def _read(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))
