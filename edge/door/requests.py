"""Answers to the requests that arrive at the door's socket."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from edge.access.rules.values import Waiting
from edge.audit.clock import CLOCK_CONFIRMED
from edge.config.lane import PANEL
from edge.door import protocol
from edge.door.access_commands import AccessCommands
from edge.door.access_status import access_status
from edge.door.clock_trust import TRUST_CLOCK
from edge.door.commands import AccessCommand
from edge.door.controller import OperatorCommand
from edge.door.door import Door
from edge.door.events import DoorAlarm, DoorEventCode, DoorRefusal, EventCause
from edge.door.lane_requests import LaneRequests, missing_factors
from edge.door.panel_requests import PanelWaiting
from edge.door.reader_requests import ReaderRequests
from edge.door.unlocker import RECORD_DEADLINE_S
from edge.errors import DoorError
from edge.system.timesync import boot_id
from edge.system.wallclock import ClockDoubt
from edge.values import DoorEvent, Grant

log = logging.getLogger(__name__)

NOT_YET_RECORDED = "not recorded yet: a restart may lose it; is the disk full?"
NO_OPERATOR = "this account is not in `door.operators`"
_UNLOCKING = (OperatorCommand.UNLOCK, OperatorCommand.HOLD)

_COMMANDS: Mapping[str, OperatorCommand | AccessCommand] = {
    command.value: command for command in (*OperatorCommand, *AccessCommand)
}
_REFUSED_MAX = 512  # characters of the status

_Answer = tuple[str | None, str]  # refusal, None if done; a warning for the operator


class RequestHandler:
    """Answers grants, commands and status requests for one door."""

    def __init__(self, door: Door, access: LaneRequests, readers: ReaderRequests) -> None:
        self._door = door
        self._access, self._readers = access, readers
        self._access_commands = AccessCommands(door, access, readers.lockout, readers.learner)
        self.reload_refused = ""  # why the latest reload was refused

    @property
    def operators(self) -> AbstractSet[int]:
        """User ids of accounts that may send commands."""
        return {0, os.geteuid(), *self._door.settings.operators}

    @property
    def clients(self) -> AbstractSet[int]:
        """User ids of accounts that may send grants: an operator's command has a reason."""
        return {os.geteuid(), *self._door.settings.clients}

    def handle(self, packet: bytes, uid: int) -> bytes:
        """Return the answer to a packet of a user. Raises DoorError if a relay fails."""
        try:
            return self._answer(packet, uid)
        except DoorError:
            raise
        except Exception:  # no packet may end the process that fire and REX need
            log.exception("a request was refused by an error; report it with this message")
            self._door.access.abandon()
            return protocol.encode("refused", {"reason": "an error of the door, see its journal"})

    def _answer(self, packet: bytes, uid: int) -> bytes:
        try:
            kind, fields = protocol.decode(packet)
            grant = protocol.parse_grant(fields) if kind == "grant" else None
            command = protocol.parse_command(fields) if kind == "command" else None
            lane = protocol.parse_claim_lane(fields) if kind == "claim" else None
        except DoorError as error:
            return protocol.encode("refused", {"reason": str(error)})
        if grant is not None:
            if uid not in self.clients:
                return protocol.encode(
                    "refused", {"reason": "this account is not in `door.clients`"}
                )
            return self._grant(grant)
        if command is not None:
            refused, warning = self._command(command, uid)
            answer = ("done", "done") if refused is None else ("refused", refused)
            return protocol.encode(answer[0], {"reason": answer[1], "note": warning})
        if lane is not None:
            return self._claim(lane)
        if kind == "verdict":
            return self._verdict(fields)
        if kind == "learned":
            return self._learned(fields, uid)
        if kind == "status":
            shown = self.status() if uid in self.operators else self._client_status()
            return protocol.encode("status", shown)
        return protocol.encode("refused", {"reason": f"malformed: unknown kind {kind[:32]!r}"})

    def status(self) -> dict[str, Any]:
        """Return the door's status with the latest refused reload."""
        refused = self.reload_refused[:_REFUSED_MAX]
        access = access_status(self._door, self._access, self._readers)
        return {**self._door.status(), "reload_refused": refused, "access": access}

    def _client_status(self) -> dict[str, Any]:
        """Return the status for the recogniser: no silent alarm, nothing of other requests."""
        status = self.status()
        del status["access"]
        return {**status, "alarms": [one for one in status["alarms"] if one != DoorAlarm.DURESS]}

    def _grant(self, grant: Grant) -> bytes:
        """Present a face to the rules; raises DoorError if the relay fails."""
        answer = self._access.present_face(grant)
        self._readers.show_answer(grant.lane, answer)
        if answer is None:
            return protocol.encode("granted", {"reason": "unlocked"})
        if isinstance(answer, PanelWaiting):
            return protocol.encode("waiting", protocol.waiting_fields([PANEL], answer.until))
        if isinstance(answer, Waiting):
            fields = protocol.waiting_fields(missing_factors(answer), answer.until)
            return protocol.encode("waiting", fields)
        return protocol.encode("refused", {"reason": answer})

    def _claim(self, lane: str) -> bytes:
        """Return the person whose card or PIN waits for a face at a lane of this door."""
        if (refusal := self._door.settings.access.find_refusal(lane)) is not None:
            return protocol.encode("refused", {"reason": refusal})
        return protocol.encode("claim", {"person": self._access.claimed_person(lane) or ""})

    def _learned(self, fields: Mapping[str, Any], uid: int) -> bytes:
        """Hand the digest of a learned card to an operator."""
        if uid not in self.operators:
            return protocol.encode("refused", {"reason": NO_OPERATOR})
        state, digest = self._readers.learner.fetch(str(fields.get("target", "")))
        return protocol.encode("learned", {"state": state.value, "digest": digest})

    def _verdict(self, fields: Mapping[str, Any]) -> bytes:
        """Answer what the panel decided about a grant; empty while it has not."""
        panel, grant_id = self._access.panel, fields.get("id")
        verdict = panel.verdict(grant_id) if panel and isinstance(grant_id, str) else None
        return protocol.encode("verdict", {"verdict": verdict or ""})

    def _command(self, request: protocol.CommandRequest, uid: int) -> _Answer:
        """Execute a command of an operator."""
        if uid not in self.operators:
            return NO_OPERATOR, ""
        operator = self._door.settings.operators.get(uid, str(uid))
        if request.command == TRUST_CLOCK:
            return self._trust_clock(request, operator)
        if (command := _COMMANDS.get(request.command)) is None:
            return f"expected one of {', '.join([*_COMMANDS, TRUST_CLOCK])}", ""
        if isinstance(command, AccessCommand):
            return self._change_access(command, request, operator)
        return self._operate(command, request, operator)

    def _operate(
        self, command: OperatorCommand, request: protocol.CommandRequest, operator: str
    ) -> _Answer:
        """Execute a command. One that unlocks is recorded first, one that restricts is done first.

        The answer waits until the new state is on disk: a restart reads it from there.
        """
        door = self._door
        deadline = self._deadline()
        by = _origin(request, operator)
        record = door.append(DoorEventCode.OPERATOR_COMMAND, command.value, **by)
        is_recorded = command is OperatorCommand.LOCKDOWN or door.wait_recorded(record, deadline)
        if command in _UNLOCKING and not (is_recorded or door.settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED, ""
        refusal = door.controller.execute(command, door.clock())
        door.switch_relays()
        if refusal is not None:
            by["note"] = None  # is in the record of the command
            door.log.append_refusal(DoorEvent(DoorEventCode.REFUSED, refusal, door.clock(), **by))
            return refusal, ""
        is_recorded = door.wait_recorded(door.log.newest, deadline)
        return None, "" if is_recorded else NOT_YET_RECORDED

    def _change_access(
        self, command: AccessCommand, request: protocol.CommandRequest, operator: str
    ) -> _Answer:
        """Record a command that eases the access rules, then execute it."""
        door, deadline = self._door, self._deadline()
        if flaw := self._access_commands.find_flaw(command, request.argument):
            return flaw, ""
        event = DoorEvent(
            DoorEventCode.OPERATOR_COMMAND,
            command.value,
            door.clock(),
            **_origin(request, operator),
        )
        record = door.log.append(event, {"target": request.argument or command.without_argument})
        if not (door.wait_recorded(record, deadline) or door.settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED, ""
        save = self._access_commands.execute(command, request.argument)
        is_saved = save is None or door.wait_saved(save, deadline)
        return None, "" if is_saved and record.written else NOT_YET_RECORDED

    def _trust_clock(self, request: protocol.CommandRequest, operator: str) -> _Answer:
        """Trust the present clock once the command is recorded: it may unlock the door."""
        door = self._door
        now, doubt = door.wall.read_with_doubt()
        if doubt is ClockDoubt.NEVER_SET:
            return f"{doubt.sentence}; set it first", ""
        record = door.append(
            DoorEventCode.CLOCK_TRUSTED,
            EventCause.OPERATOR,
            **_origin(request, operator),
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


def _origin(request: protocol.CommandRequest, operator: str) -> dict[str, Any]:
    """Return who sent a command and why, as fields of its record."""
    return {"operator": operator, "user": request.user or None, "note": request.note}
