"""The door process: takes grants over a Unix socket, moves the relay, and locks whatever happens.

It imports neither numpy nor any engine. Every wait in its loop is bounded by the end of the running pulse.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.access.schedule import ScheduledMode
from edge.audit.async_writer import AsyncLogWriter, PendingRecord
from edge.audit.clock import CONFIRMED, confirmation_field
from edge.door import protocol
from edge.door.clock_trust import TRUST_CLOCK, clock_status, describe_doubt
from edge.door.connections import Connections
from edge.door.controller import Controller, OperatorCommand
from edge.door.events import DoorEventCode, DoorRefusal, EventCause
from edge.door.hardware import DoorHardware
from edge.door.inputs import POLL_S
from edge.door.record import DoorAuditLog, LockState, PreviousRun
from edge.door.relay import RelayOutput
from edge.door.settings import DoorSettings
from edge.errors import DoorError
from edge.system.timesync import boot_id
from edge.system.wallclock import REMEDY, ClockDoubt, WallClock
from edge.values import DoorEvent, Grant

log = logging.getLogger(__name__)

RECORD_DEADLINE_S = 0.2
NOT_YET_RECORDED = "not on record yet: it may not outlive a restart; is the disk full?"
_IDLE_S = 0.05  # signals, and what other threads have done, are seen so soon
_SCHEDULE_S = 1.0  # how often the schedule is asked
_OPENING = (OperatorCommand.UNLOCK, OperatorCommand.HOLD)
_NOTE_MAX = 256


class DoorService:
    """Socket, clocks and wires around one `Controller`; `step` is one turn of the loop, `close` locks."""

    def __init__(
        self,
        settings: DoorSettings,
        hardware: DoorHardware,
        record: AsyncLogWriter,
        socket_path: Path,
        *,
        previous: PreviousRun = PreviousRun(),
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._wiring = hardware
        self._clock = clock
        self._wall = WallClock(previous.clock, wall)
        self._doubt: ClockDoubt | None = None  # logged last
        self._controller = Controller(settings.timing, previous.latches)
        self._record = DoorAuditLog(
            record, previous, lambda: self._controller.latches, self._lock_state, self._wall
        )
        self._looked_at = -math.inf  # when the schedule was asked
        self._blind = False  # whether the schedule could not tell
        self._reload_refused = ""
        self._alarms: tuple[str, ...] = ()  # logged last
        self._energised = self._alarmed = self._closed = False
        hardware.relay.deenergise()
        self._peers = Connections(socket_path)
        self._apply_settings(settings)
        self._record_start(previous)
        self._update()

    def _record_start(self, past: PreviousRun) -> None:
        """What is to be said of the life before, and of what this one begins with."""
        if past.error:
            log.error(
                "%s; in lockdown, since nobody can tell what held before: `edge-door release` ends it",
                past.error,
            )
            self._post(
                DoorEvent(
                    DoorEventCode.GAP,
                    EventCause.UNREADABLE_RECORD,
                    self._clock(),
                    note=past.error[:_NOTE_MAX],
                )
            )
        elif past.last_event not in (None, DoorEventCode.STOPPED):
            self._post(DoorEvent(DoorEventCode.GAP, EventCause.UNCLEAN_STOP, self._clock()))
        for account in self._settings.unknown_accounts:
            log.error("%s: no such account on this machine, ignored; create it", account)
            self._post(
                DoorEvent(
                    DoorEventCode.ACCOUNT_IGNORED,
                    EventCause.UNKNOWN_ACCOUNT,
                    self._clock(),
                    note=account[:_NOTE_MAX],
                )
            )
        started = DoorEvent(DoorEventCode.STARTED, self._controller.reason, self._clock())
        self._record.append(started, confirmation_field(self._wall.trust))

    def _apply_settings(self, settings: DoorSettings) -> None:
        self._settings = settings
        self._operators = {0, os.geteuid(), *settings.operators}
        self._peers.update_accounts(settings.clients.keys(), self._operators)
        self._record.update_retention(settings.retention)

    def reload(self, settings: DoorSettings) -> None:
        """Other settings from now on; whoever may no longer ask is hung up on."""
        self._apply_settings(settings)
        self._controller.update_timing(settings.timing)
        self._looked_at = -math.inf
        self._reload_refused = ""
        self._post(DoorEvent(DoorEventCode.RELOADED, EventCause.CONFIGURATION, self._clock()))

    def refuse_reload(self, why: str) -> None:
        """Nothing changes; status and record tell, since whoever asked may not look at the journal."""
        self._reload_refused = why
        self._post(
            DoorEvent(
                DoorEventCode.RELOAD_REFUSED,
                EventCause.CONFIGURATION,
                self._clock(),
                note=why[:_NOTE_MAX],
            )
        )

    def step(self) -> None:
        """Wait for a packet, an input or the end of a pulse, whichever comes first, and act on it."""
        for peer, uid, packet in self._peers.receive(self._wait()):
            self._update()
            self._peers.send(peer, self._handle(packet, uid))
        self._update()

    def _wait(self, limit: float = _IDLE_S) -> float:
        """How long nothing needs to be looked at."""
        if self._wiring.inputs:
            limit = min(limit, POLL_S)
        deadline = self._controller.deadline
        return limit if deadline is None else max(0.0, min(limit, deadline - self._clock()))

    def _update(self) -> None:
        """Inputs, schedule and time into the controller, and what it says onto the wires."""
        now = self._clock()
        for which, level in self._wiring.inputs.read_changes(now) if self._wiring.inputs else ():
            self._controller.update_input(which, level, now)
        if now - self._looked_at >= _SCHEDULE_S:
            self._looked_at = now
            self._controller.update_schedule(self._window(), now)
        self._controller.tick(now)
        self._switch_outputs()
        self._record.run_maintenance(now)

    def _window(self) -> ScheduledMode:
        """What the schedule says, with doubts about a clock that cannot be right. Whatever it raises, the loop goes on."""
        schedule = self._settings.schedule
        try:
            wall, doubt = self._wall.read_with_doubt()
            self._log_doubt(doubt)
            window = schedule.at(
                datetime.fromtimestamp(wall, timezone.utc), plausible=doubt is None
            )
        except Exception:
            if not self._blind:
                log.exception(
                    "the schedule cannot tell what holds now; until it can: %s",
                    schedule.strictest.value,
                )
            self._blind = True
            return schedule.strictest
        self._blind = False
        return window

    def _log_doubt(self, doubt: ClockDoubt | None) -> None:
        if doubt is self._doubt:
            return
        self._doubt = doubt
        if doubt is None:
            log.info("the clock is trusted again")
        else:
            log.warning("%s; no door is open by schedule; %s", describe_doubt(doubt), REMEDY)

    def _lock_state(self) -> LockState:
        lock = "unlocked" if self._controller.energised else "locked"
        return LockState(lock, self._controller.alarms)

    def _switch_outputs(self) -> None:
        """The lock never waits for the disk: first the wires, then the record. Raises DoorError where a wire fails."""
        if self._energised != self._controller.energised:
            self._energised = self._controller.energised
            _switch(self._wiring.relay, self._energised)
            log.info("%s (%s)", self._lock_state().lock, self._controller.reason)
        if self._wiring.alarm is not None and self._alarmed != self._controller.alarm:
            self._alarmed = self._controller.alarm
            _switch(self._wiring.alarm, self._alarmed)
        if self._alarms != self._controller.alarms:
            self._alarms = self._controller.alarms
            log.warning("alarms: %s", ", ".join(self._alarms) or "none")
        said, self._controller.events = self._controller.events, []
        for event in said:
            self._post(event)

    def close(self) -> None:
        """Lock first, then tidy up; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._controller.lock()
        with (
            contextlib.ExitStack() as steps
        ):  # last in, first out, and each one whatever the others do
            steps.callback(self._record.close)
            steps.callback(self._peers.close)
            steps.callback(
                lambda: self._post(
                    DoorEvent(DoorEventCode.STOPPED, EventCause.LOCKED, self._clock())
                )
            )
            steps.callback(self._wiring.close)

    def _handle(self, packet: bytes, uid: int) -> bytes:
        try:
            kind, fields = protocol.decode(packet)
            grant = protocol.parse_grant(fields) if kind == "grant" else None
            command = protocol.parse_command(fields) if kind == "command" else None
        except DoorError as error:
            return protocol.encode("refused", {"reason": str(error)})
        if grant is not None:
            reason = self._grant(grant)
            return protocol.encode(
                "granted" if reason is None else "refused", {"reason": reason or "unlocked"}
            )
        if command is not None:
            reason, note = self._command(*command, uid)
            return protocol.encode(
                "done" if reason is None else "refused", {"reason": reason or "done", "note": note}
            )
        if kind == "status":
            return protocol.encode("status", self.status())
        return protocol.encode("refused", {"reason": f"malformed: unknown kind {kind[:32]!r}"})

    def _grant(self, grant: Grant) -> str | None:
        """Record, then open; why not otherwise. A relay that fails ends the process: nobody knows where the wire is."""
        reason = self._controller.check(grant, self._clock())
        if reason is None and not self._in_time(
            self._post(_event(DoorEventCode.GRANTED, EventCause.GRANT, self._clock(), grant)),
            self._deadline(),
        ):
            reason = None if self._settings.unlock_unrecorded else DoorRefusal.NOT_RECORDED
        now = self._clock()
        reason = reason or self._controller.check(
            grant, now
        )  # the frame may have grown too old meanwhile
        if reason is not None:
            self._record.append_refusal(_event(DoorEventCode.REFUSED, reason, now, grant))
            return reason
        self._controller.unlock(grant, now)
        try:
            self._switch_outputs()
        except DoorError:
            self._controller.lock()
            self._post(_event(DoorEventCode.FAILED, EventCause.RELAY, now, grant))
            raise
        self._post(_event(DoorEventCode.UNLOCKED, EventCause.GRANT, now, grant))
        return None

    def _command(self, name: str, note: str, uid: int) -> tuple[str | None, str]:
        """Do what an operator asks; why not, and what else is to be said. What opens is on record first; what restricts is done
        first. It is acknowledged once the state that it led to is on disk, since a restart goes by that."""
        if uid not in self._operators:
            return "this account is not in `door.operators`", ""
        if name == TRUST_CLOCK:
            return self._trust_clock(note, uid)
        try:
            command = OperatorCommand(name)
        except ValueError:
            known = ", ".join([*(c.value for c in OperatorCommand), TRUST_CLOCK])
            return f"expected one of {known}", ""
        ends = self._deadline()
        asked = DoorEvent(
            DoorEventCode.OPERATOR_COMMAND,
            command.value,
            self._clock(),
            operator=self._settings.operators.get(uid, str(uid)),
            note=note,
        )
        job = self._post(asked)
        recorded = command is OperatorCommand.LOCKDOWN or self._in_time(job, ends)
        if command in _OPENING and not (recorded or self._settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED, ""
        reason = self._controller.execute(command, self._clock())
        self._switch_outputs()
        if reason is not None:
            self._record.append_refusal(
                DoorEvent(DoorEventCode.REFUSED, reason, self._clock(), operator=asked.operator)
            )
            return reason, ""
        return None, "" if self._in_time(self._record.newest, ends) else NOT_YET_RECORDED

    def _trust_clock(self, note: str, uid: int) -> tuple[str | None, str]:
        """Trust the present clock once the command is recorded: it may open the door."""
        wall, doubt = self._wall.read_with_doubt()
        if doubt is ClockDoubt.NEVER_SET:
            return f"{doubt.sentence}; set it first", ""
        operator = self._settings.operators.get(uid, str(uid))
        event = DoorEvent(
            DoorEventCode.CLOCK_TRUSTED,
            EventCause.OPERATOR,
            self._clock(),
            operator=operator,
            note=note,
        )
        job = self._record.append(event, {CONFIRMED: [round(wall, 3), boot_id()]})
        if not (self._in_time(job, self._deadline()) or self._settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED, ""
        self._wall.confirm(round(wall, 3))
        self._looked_at = -math.inf
        log.info("an operator confirmed the clock")
        return None, "" if job.written else NOT_YET_RECORDED

    def _deadline(self) -> float:
        return self._clock() + RECORD_DEADLINE_S

    def _in_time(self, job: PendingRecord, ends: float) -> bool:
        """Whether a record is on disk by then; inputs are heard and a pulse that ends meanwhile is ended."""
        while not job.done.is_set() and (now := self._clock()) < ends:
            job.done.wait(self._wait(ends - now))
            self._update()
        if not job.done.is_set():
            log.error("%s is not on record: the disk takes too long", job.fields["event"])
        return job.written

    def status(self) -> dict[str, Any]:
        controller, now = self._controller, self._clock()
        return {
            "state": "unlocked" if controller.energised else "locked",
            "reason": controller.reason,
            "relocks_in_s": round(max(0.0, controller.relocks_at - now), 3),
            "alarms": list(controller.alarms),
            "records_lost": self._record.lost,
            "clock": clock_status(self._wall),
            "reload_refused": self._reload_refused[: protocol.PACKET_MAX // 8],
            "inputs": {
                which.value: level
                for which, level in controller.levels.items()
                if level is not None
            },
        }

    def _post(self, event: DoorEvent) -> PendingRecord:
        return self._record.append(event)


def _event(event: DoorEventCode, reason: str, at: float, grant: Grant) -> DoorEvent:
    return DoorEvent(event, reason, at, grant.subject, grant.id, grant.record_id)


def _switch(relay: RelayOutput, on: bool) -> None:
    if on:
        relay.energise()
    else:
        relay.deenergise()
