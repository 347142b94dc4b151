"""Answers to the requests that arrive at the door's socket."""

from __future__ import annotations

import logging
import os
from collections.abc import Set as AbstractSet
from typing import Any

from edge.audit.clock import CLOCK_CONFIRMED
from edge.door import protocol
from edge.door.clock_trust import TRUST_CLOCK
from edge.door.controller import OperatorCommand
from edge.door.door import Door
from edge.door.events import DoorEventCode, DoorRefusal, EventCause
from edge.errors import DoorError
from edge.system.timesync import boot_id
from edge.system.wallclock import ClockDoubt
from edge.values import DoorEvent, Grant

log = logging.getLogger(__name__)

RECORD_DEADLINE_S = 0.2
NOT_YET_RECORDED = "not recorded yet: a restart may lose it; is the disk full?"
_UNLOCKING = (OperatorCommand.UNLOCK, OperatorCommand.HOLD)

_Answer = tuple[str | None, str]  # refusal, None if done; a warning for the operator


class RequestHandler:
    """Answers grants, commands and status requests for one door."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.reload_refused = ""  # why the latest reload was refused

    @property
    def operators(self) -> AbstractSet[int]:
        """User ids of accounts that may send commands."""
        return {0, os.geteuid(), *self._door.settings.operators}

    def handle(self, packet: bytes, uid: int) -> bytes:
        """Return the answer to a packet of a user. Raises DoorError if a relay fails."""
        try:
            kind, fields = protocol.decode(packet)
            grant = protocol.parse_grant(fields) if kind == "grant" else None
            command = protocol.parse_command(fields) if kind == "command" else None
        except DoorError as error:
            return protocol.encode("refused", {"reason": str(error)})
        if grant is not None:
            refusal = self._grant(grant)
            answer = ("granted", "unlocked") if refusal is None else ("refused", refusal)
            return protocol.encode(answer[0], {"reason": answer[1]})
        if command is not None:
            refused, warning = self._command(*command, uid)
            answer = ("done", "done") if refused is None else ("refused", refused)
            return protocol.encode(answer[0], {"reason": answer[1], "note": warning})
        if kind == "status":
            return protocol.encode("status", self.status())
        return protocol.encode("refused", {"reason": f"malformed: unknown kind {kind[:32]!r}"})

    def status(self) -> dict[str, Any]:
        """Return the door's status with the latest refused reload."""
        refused = self.reload_refused[: protocol.PACKET_MAX // 8]
        return {**self._door.status(), "reload_refused": refused}

    def _grant(self, grant: Grant) -> DoorRefusal | None:
        """Record a grant, then unlock; return why it was refused.

        Raises DoorError if the relay fails: its state is unknown, and the process ends.
        """
        door = self._door
        refusal = door.controller.check(grant, door.clock())
        if refusal is None:
            refusal = self._record_grant(grant)
        now = door.clock()
        refusal = refusal or door.controller.check(grant, now)  # the frame may be too old by now
        if refusal is not None:
            door.log.append_refusal(_grant_event(DoorEventCode.REFUSED, refusal, now, grant))
            return refusal
        door.controller.unlock(grant, now)
        try:
            door.switch_relays()
        except DoorError:
            door.controller.lock()
            door.log.append(_grant_event(DoorEventCode.FAILED, EventCause.RELAY, now, grant))
            raise
        door.log.append(_grant_event(DoorEventCode.UNLOCKED, EventCause.GRANT, now, grant))
        return None

    def _record_grant(self, grant: Grant) -> DoorRefusal | None:
        door = self._door
        event = _grant_event(DoorEventCode.GRANTED, EventCause.GRANT, door.clock(), grant)
        is_recorded = door.wait_recorded(door.log.append(event), self._deadline())
        if is_recorded or door.settings.unlock_unrecorded:
            return None
        return DoorRefusal.NOT_RECORDED

    def _command(self, name: str, note: str, uid: int) -> _Answer:
        """Execute a command. One that unlocks is recorded first, one that restricts is done first.

        The answer waits until the new state is on disk: a restart reads it from there.
        """
        door = self._door
        if uid not in self.operators:
            return "this account is not in `door.operators`", ""
        operator = door.settings.operators.get(uid, str(uid))
        if name == TRUST_CLOCK:
            return self._trust_clock(note, operator)
        try:
            command = OperatorCommand(name)
        except ValueError:
            known = ", ".join([*(c.value for c in OperatorCommand), TRUST_CLOCK])
            return f"expected one of {known}", ""
        deadline = self._deadline()
        record = door.append(
            DoorEventCode.OPERATOR_COMMAND, command.value, operator=operator, note=note
        )
        is_recorded = command is OperatorCommand.LOCKDOWN or door.wait_recorded(record, deadline)
        if command in _UNLOCKING and not (is_recorded or door.settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED, ""
        refusal = door.controller.execute(command, door.clock())
        door.switch_relays()
        if refusal is not None:
            event = DoorEvent(DoorEventCode.REFUSED, refusal, door.clock(), operator=operator)
            door.log.append_refusal(event)
            return refusal, ""
        is_recorded = door.wait_recorded(door.log.newest, deadline)
        return None, "" if is_recorded else NOT_YET_RECORDED

    def _trust_clock(self, note: str, operator: str) -> _Answer:
        """Trust the present clock once the command is recorded: it may unlock the door."""
        door = self._door
        now, doubt = door.wall.read_with_doubt()
        if doubt is ClockDoubt.NEVER_SET:
            return f"{doubt.sentence}; set it first", ""
        record = door.append(
            DoorEventCode.CLOCK_TRUSTED,
            EventCause.OPERATOR,
            operator=operator,
            note=note,
            more={CLOCK_CONFIRMED: [round(now, 3), boot_id()]},
        )
        is_recorded = door.wait_recorded(record, self._deadline())
        if not (is_recorded or door.settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED, ""
        door.wall.confirm(round(now, 3))
        door.request_schedule_update()
        log.info("an operator confirmed the clock")
        return None, "" if record.written else NOT_YET_RECORDED

    def _deadline(self) -> float:
        return self._door.clock() + RECORD_DEADLINE_S


def _grant_event(event: DoorEventCode, reason: str, at: float, grant: Grant) -> DoorEvent:
    return DoorEvent(event, reason, at, grant.subject, grant.id, grant.record_id)
