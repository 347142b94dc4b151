"""The door process: takes grants over a Unix socket, moves the relay, and locks whatever happens.

It imports neither numpy nor any engine. Every wait in its loop is bounded by the end of the running pulse.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pwd
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.audit.log import BoundedLog
from edge.door import protocol
from edge.door.controller import Command, Controller, DoorRules, Latches, Window
from edge.door.inputs import POLL_S, Inputs
from edge.door.relay import Relay
from edge.door.schedule import Schedule
from edge.errors import DoorError
from edge.values import DoorEvent, Grant

log = logging.getLogger(__name__)

RECORD_DEADLINE_S = 0.2
_IDLE_S = 0.5
_CLIENTS_MAX = 8
_SCHEDULE_S = 1.0  # how often the schedule is asked
BUILT_AFTER = 1_767_225_600.0  # 2026-01-01: a clock before this was never set
_CLOCK_SLACK_S = 60.0  # that a clock may be set back without doubt
LATCHES = tuple(latch.name for latch in fields(Latches))
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Wiring:
    """The door's hardware: the lock's relay, and what else there is."""

    relay: Relay
    alarm: Relay | None = None
    inputs: Inputs | None = None

    def close(self) -> None:
        """Lock first; each part whatever the others do."""
        with contextlib.ExitStack() as steps:  # last in, first out
            for part in (self.inputs, self.alarm, self.relay):
                if part is not None:
                    steps.callback(part.close)
            steps.callback(self.relay.release)


@dataclass(frozen=True, slots=True)
class Conduct:
    """What may change while the door is at work."""

    rules: DoorRules
    schedule: Schedule = field(default_factory=Schedule)
    clients: tuple[str, ...] = ()  # accounts beside the door's own that may ask it to open
    operators: tuple[str, ...] = ()  # accounts beside root and the door's own that may command it
    open_unrecorded: bool = False  # whether people are let in while the disk takes no record


class DoorService:
    """Socket, clocks and wires around one `Controller`; `step` is one turn of the loop, `close` locks."""

    def __init__(
        self,
        conduct: Conduct,
        wiring: Wiring,
        record: BoundedLog,
        socket_path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._wiring = wiring
        self._record = record
        self._clock, self._wall = clock, wall
        self._take(conduct)
        latched, ended = record.last("latches") or (), record.last("event")
        self._controller = Controller(conduct.rules, Latches(**{name: name in latched for name in LATCHES}))
        self._newest_record = float(record.last("wall") or 0.0)
        self._selector = selectors.DefaultSelector()
        self._socket_path = socket_path
        self._listener = _listen(socket_path)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._uids: dict[socket.socket, int] = {}
        self._looked_at = -math.inf  # when the schedule was asked
        self._energised = self._alarmed = self._closed = False
        wiring.relay.release()
        if ended not in (None, "stopped"):
            self._post(DoorEvent("gap", "unclean-stop", clock()))
        self._post(DoorEvent("started", self._controller.reason, clock()))
        self._turn()

    def _take(self, conduct: Conduct) -> None:
        """Raises DoorError, with nothing changed, where an account is not there."""
        operators = {0, os.geteuid(), *(_uid(name, "operators") for name in conduct.operators)}
        allowed = operators | {_uid(name, "clients") for name in conduct.clients}
        self._conduct, self._operators, self._allowed = conduct, operators, allowed

    def reload(self, conduct: Conduct) -> None:
        """Other conduct from now on; whoever may no longer ask is hung up on. Raises DoorError, with nothing changed."""
        self._take(conduct)
        self._controller.obey(conduct.rules)
        self._looked_at = -math.inf
        for peer in [peer for peer, uid in self._uids.items() if uid not in self._allowed]:
            self._drop(peer)
        self._post(DoorEvent("reloaded", "configuration", self._clock()))

    def step(self) -> None:
        """Wait for a packet, an input or the end of a pulse, whichever comes first, and act on it."""
        for key, _ in self._selector.select(self._wait()):
            self._turn()
            if key.fileobj is self._listener:
                self._accept()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._serve(key.fileobj)
        self._turn()

    def _wait(self, limit: float = _IDLE_S) -> float:
        """How long nothing needs to be looked at."""
        if self._wiring.inputs:
            limit = min(limit, POLL_S)
        deadline = self._controller.deadline
        return limit if deadline is None else max(0.0, min(limit, deadline - self._clock()))

    def _turn(self) -> None:
        """Inputs, schedule and time into the controller, and what it says onto the wires."""
        now = self._clock()
        for which, level in self._wiring.inputs.changes(now) if self._wiring.inputs else ():
            self._controller.sense(which, level, now)
        if now - self._looked_at >= _SCHEDULE_S:
            self._looked_at = now
            self._controller.schedule(self._window(), now)
        self._controller.tick(now)
        self._apply()

    def _window(self) -> Window:
        """What the schedule says, with doubts about a clock that lies before the last record or before this software."""
        wall = self._wall()
        plausible = wall >= max(self._newest_record, BUILT_AFTER) - _CLOCK_SLACK_S
        return self._conduct.schedule.at(datetime.fromtimestamp(wall, timezone.utc), plausible=plausible)

    def _apply(self) -> None:
        """The lock never waits for the disk: first the wires, then the record. Raises DoorError where a wire fails."""
        if self._energised != self._controller.energised:
            self._energised = self._controller.energised
            _switch(self._wiring.relay, self._energised)
        if self._wiring.alarm is not None and self._alarmed != self._controller.alarm:
            self._alarmed = self._controller.alarm
            _switch(self._wiring.alarm, self._alarmed)
        said, self._controller.events = self._controller.events, []
        for event in said:
            self._post(event)

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
            steps.callback(self._wiring.close)

    def _hang_up(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._socket_path.unlink(missing_ok=True)

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
        self._uids[peer] = uid
        self._selector.register(peer, selectors.EVENT_READ)

    def _serve(self, peer: socket.socket) -> None:
        try:
            packet = peer.recv(protocol.PACKET_MAX)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._drop(peer)
            return
        answer = self._answer(packet, self._uids.get(peer, -1))
        try:
            peer.send(answer)
        except OSError:
            log.warning("a client went away before its answer")

    def _drop(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        self._uids.pop(peer, None)
        peer.close()

    def _answer(self, packet: bytes, uid: int) -> bytes:
        try:
            kind, fields = protocol.decode(packet)
            grant = protocol.parse_grant(fields) if kind == "grant" else None
            command = protocol.parse_command(fields) if kind == "command" else None
        except DoorError as error:
            return protocol.encode("refused", {"reason": str(error)})
        if grant is not None:
            reason = self._grant(grant)
            return protocol.encode("granted" if reason is None else "refused", {"reason": reason or "unlocked"})
        if command is not None:
            reason = self._command(*command, uid)
            return protocol.encode("done" if reason is None else "refused", {"reason": reason or "done"})
        if kind == "status":
            return protocol.encode("status", self._status())
        return protocol.encode("refused", {"reason": f"malformed: unknown kind {kind[:32]!r}"})

    def _grant(self, grant: Grant) -> str | None:
        """Record, then open; why not otherwise. A relay that fails ends the process: nobody knows where the wire is."""
        reason = self._controller.check(grant, self._clock())
        if reason is None and not self._put_on_record(_event("granted", "grant", self._clock(), grant)):
            reason = None if self._conduct.open_unrecorded else "not-recorded"
        now = self._clock()
        reason = reason or self._controller.check(grant, now)  # the frame may have grown too old meanwhile
        if reason is not None:
            self._post(_event("refused", reason, now, grant))
            return reason
        self._controller.open(grant, now)
        try:
            self._apply()
        except DoorError:
            self._controller.lock()
            self._post(_event("failed", "relay", now, grant))
            raise
        self._post(_event("unlocked", "grant", now, grant))
        return None

    def _command(self, name: str, note: str, uid: int) -> str | None:
        """Do what an operator asks, on record first; why not otherwise. What restricts is done whatever the disk says."""
        if uid not in self._operators:
            return "this account is not in `door.operators`"
        try:
            command = Command(name)
        except ValueError:
            return f"expected one of {', '.join(c.value for c in Command)}"
        asked = DoorEvent("asked", command.value, self._clock(), operator=_account(uid), note=note)
        recorded = self._put_on_record(asked)
        if not (recorded or self._conduct.open_unrecorded) and command in (Command.UNLOCK, Command.HOLD):
            return "not-recorded"
        reason = self._controller.command(command, self._clock())
        self._apply()
        if reason is not None:
            self._post(DoorEvent("refused", reason, self._clock(), operator=asked.operator))
        return reason

    def _put_on_record(self, event: DoorEvent) -> bool:
        """Whether an event is on disk in time; inputs are heard and a pulse that ends meanwhile is ended."""
        job = self._record.submit(self._fields(event))
        ends = self._clock() + RECORD_DEADLINE_S
        while not job.done.is_set() and (now := self._clock()) < ends:
            job.done.wait(self._wait(ends - now))
            self._turn()
        if not job.written:
            log.error("%s was not recorded: %s", event.event, job.error or "the disk took too long")
        return job.written

    def _status(self) -> dict[str, Any]:
        controller, now = self._controller, self._clock()
        return {
            "state": "unlocked" if controller.energised else "locked",
            "reason": controller.reason,
            "relocks_in_s": round(max(0.0, controller.relocks_at - now), 3),
            "alarms": list(controller.alarms),
            "records_lost": self._record.lost,
            "inputs": {which.value: level for which, level in controller.levels.items() if level is not None},
        }

    def _fields(self, event: DoorEvent) -> dict[str, Any]:
        """What is recorded of an event, with the states that outlive a restart."""
        latches = [name for name in LATCHES if getattr(self._controller.latches, name)]
        return {**{key: value for key, value in asdict(event).items() if value is not None}, "latches": latches}

    def _post(self, event: DoorEvent) -> None:
        self._record.submit(self._fields(event))


def _event(event: str, reason: str, at: float, grant: Grant) -> DoorEvent:
    return DoorEvent(event, reason, at, grant.subject, grant.id, grant.record_id)


def _uid(name: str, key: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as error:
        raise DoorError(f"door.{key}: there is no account {name!r} on this machine; create it or take it out") from error


def _switch(relay: Relay, on: bool) -> None:
    if on:
        relay.energise()
    else:
        relay.release()


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


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
