"""Socket of edge-people that answers at once: no one is enrolled, every change is refused."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.people_protocol import DoneEvent, ListRequest, RefusedEvent, encode, parse_request

REFUSED = RefusedEvent(code="not-enrolled", text="the person is not enrolled")


@contextmanager
def people_answers(path: Path) -> Iterator[None]:
    """Answer requests at a path; bytes of photos are taken and dropped."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(16)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        path.unlink()


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_answer, args=(peer,), daemon=True).start()


def _answer(peer: socket.socket) -> None:
    with contextlib.suppress(OSError), peer, peer.makefile("rb") as file:
        is_list = isinstance(parse_request(file.readline()), ListRequest)
        peer.sendall(encode(DoneEvent() if is_list else REFUSED))
        peer.shutdown(socket.SHUT_WR)
        while file.read(1 << 16):
            pass
