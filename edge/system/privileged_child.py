"""Child process that keeps the account of root while its parent gives it up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator

from edge.errors import MfsaError

_DONE, _FAILED = b"done", b"failed: "  # answers; a process that was killed gives none

Work = Callable[[list[str]], None]  # gets names; raises MfsaError


@contextlib.contextmanager
def start_privileged_child(work: Work) -> Iterator[Work]:
    """Yield a function that runs `work` in a child process with the present account.

    It can be called once. The child gets nothing but names, and waits for them until this process
    ends. Call this before threads start. The function raises MfsaError unless the child confirms
    that all is done. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            child = os.fork()
            if child == 0:
                ours.close()
                os._exit(_serve(theirs, work))
        try:
            yield lambda names: _ask(ours, names)
        finally:
            ours.close()
            os.waitpid(child, 0)


def _ask(connection: socket.socket, names: list[str]) -> None:
    answer = b""
    with contextlib.suppress(ConnectionError):  # the child has ended
        connection.sendall(json.dumps(names).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = _read(connection)
    if answer.startswith(_FAILED):
        raise MfsaError(answer.removeprefix(_FAILED).decode())
    if answer != _DONE:
        raise MfsaError(
            "the process that changes the rights of people was ended before it was done; check "
            "them with edge-door person list, then run this again"
        )


def _serve(connection: socket.socket, work: Work) -> int:
    """Run the work once; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides what Ctrl-C ends
    answer = _DONE
    try:
        if asked := _read(connection):
            work([str(name) for name in json.loads(asked)])
    except MfsaError as error:
        answer = _FAILED + str(error).encode()
    except BaseException as error:
        answer = _FAILED + repr(error).encode()
    with contextlib.suppress(OSError):
        connection.sendall(answer)
    return int(answer != _DONE)


def _read(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))
