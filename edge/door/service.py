"""The door process: takes grants over a Unix socket, moves the relay, and locks whatever happens.

It imports neither numpy nor any engine. Every wait in its loop is bounded by the end of the running pulse.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.audit.log import BoundedLog
from edge.door import protocol
from edge.door.controller import Controller
from edge.door.relay import Relay
from edge.errors import DoorError
from edge.values import DoorEvent, Grant

log = logging.getLogger(__name__)

RECORD_DEADLINE_S = 0.2
_IDLE_S = 0.5
_CLIENTS_MAX = 8
_UCRED = struct.Struct("3i")


class DoorService:
    """Socket, clock and relay around one `Controller`; `step` is one turn of the loop, `close` locks."""

    def __init__(
        self,
        controller: Controller,
        relay: Relay,
        record: BoundedLog,
        socket_path: Path,
        *,
        clients: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller = controller
        self._relay = relay
        self._record = record
        self._clock = clock
        self._allowed = {0, os.geteuid(), *(_uid(name) for name in clients)}
        self._selector = selectors.DefaultSelector()
        self._socket_path = socket_path
        self._listener = _listen(socket_path)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = False
        relay.release()
        self._post(DoorEvent("started", "locked", clock()))

    def step(self) -> None:
        """Wait for a packet or the end of the pulse, whichever comes first, and act on it."""
        self._relock()
        now = self._clock()
        until = self._controller.until
        wait = _IDLE_S if until is None else max(0.0, min(_IDLE_S, until - now))
        for key, _ in self._selector.select(wait):
            self._relock()
            if key.fileobj is self._listener:
                self._accept()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._serve(key.fileobj)
        self._relock()

    def close(self) -> None:
        """Lock first, then tidy up; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._controller.lock()
        with contextlib.ExitStack() as steps:  # last in, first out, and each one whatever the others do
            steps.callback(self._record.close)
            steps.callback(self._hang_up)
            steps.callback(lambda: self._post(DoorEvent("stopped", "locked", self._clock())))
            steps.callback(self._relay.close)
            steps.callback(self._relay.release)

    def _hang_up(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._socket_path.unlink(missing_ok=True)

    def _relock(self) -> None:
        now = self._clock()
        if self._controller.tick(now):
            self._relay.release()  # the lock never waits for the disk
            self._post(DoorEvent("relocked", "pulse-over", now))

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        peer.setblocking(False)
        _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in self._allowed or len(self._selector.get_map()) > _CLIENTS_MAX:
            log.warning("refused a connection of user %d", uid)
            peer.close()
            return
        self._selector.register(peer, selectors.EVENT_READ)

    def _serve(self, peer: socket.socket) -> None:
        try:
            packet = peer.recv(protocol.PACKET_MAX)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._selector.unregister(peer)
            peer.close()
            return
        answer = self._answer(packet)
        try:
            peer.send(answer)
        except OSError:
            log.warning("a client went away before its answer")

    def _answer(self, packet: bytes) -> bytes:
        try:
            kind, fields = protocol.decode(packet)
            grant = protocol.parse_grant(fields) if kind == "grant" else None
        except DoorError as error:
            return protocol.encode("refused", {"reason": str(error)})
        if grant is not None:
            reason = self._grant(grant)
            return protocol.encode("granted" if reason is None else "refused", {"reason": reason or "unlocked"})
        if kind == "status":
            return protocol.encode("status", self._status())
        return protocol.encode("refused", {"reason": f"malformed: unknown kind {kind[:32]!r}"})

    def _grant(self, grant: Grant) -> str | None:
        """Record, then open; why not otherwise. A relay that fails ends the process: nobody knows where the wire is."""
        reason = self._controller.check(grant, self._clock())
        if reason is None and not self._put_on_record(grant):
            reason = "not-recorded"
        now = self._clock()
        reason = reason or self._controller.check(grant, now)  # the frame may have grown too old meanwhile
        if reason is not None:
            self._post(_event("refused", reason, now, grant))
            return reason
        self._controller.open(grant, now)
        try:
            self._relay.energise()
        except DoorError:
            self._controller.lock()
            self._post(_event("failed", "relay", now, grant))
            raise
        self._post(_event("unlocked", "grant", now, grant))
        return None

    def _put_on_record(self, grant: Grant) -> bool:
        """Whether the grant is on disk in time; a pulse that ends meanwhile is ended."""
        job = self._record.submit(_fields(_event("granted", "grant", self._clock(), grant)))
        ends = self._clock() + RECORD_DEADLINE_S
        while not job.done.is_set() and (now := self._clock()) < ends:
            until = self._controller.until
            job.done.wait(max(0.0, min(ends, until or ends) - now))
            self._relock()
        if not job.written:
            log.error("a grant for %s was refused: %s", grant.subject, job.error or "the disk took too long")
        return job.written

    def _status(self) -> dict[str, Any]:
        until = self._controller.until
        remaining = 0.0 if until is None else round(max(0.0, until - self._clock()), 3)
        return {"state": "unlocked" if self._controller.energised else "locked", "relocks_in_s": remaining}

    def _post(self, event: DoorEvent) -> None:
        self._record.submit(_fields(event))


def _event(event: str, reason: str, at: float, grant: Grant) -> DoorEvent:
    return DoorEvent(event, reason, at, grant.subject, grant.id, grant.record_id)


def _fields(event: DoorEvent) -> dict[str, Any]:
    return {key: value for key, value in asdict(event).items() if value is not None}


def _uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise DoorError(f"door.clients: there is no account {name!r} on this machine; create it or take it out") from error


def _listen(path: Path) -> socket.socket:
    """A listening socket in place of one that a dead process left; the caller holds the claim on the place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.setblocking(False)
        before = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_CLIENTS_MAX)
    except OSError as error:
        raise DoorError(f"{path}: cannot listen there: {error.strerror or error}; check folder and rights") from error
    return listener
