"""The door: controller, hardware, schedule and audit log together."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from edge.access.rules.settings import OTHER_DOOR
from edge.access.rules.values import DoorStatus, DoorStatuses, RulePerson
from edge.audit.async_writer import AsyncLogWriter, PendingRecord
from edge.audit.clock import confirmation_field
from edge.door.access_controller import AccessController
from edge.door.clock_trust import clock_status
from edge.door.controller import Controller, InputKind
from edge.door.door_states import DoorStates
from edge.door.events import DoorEventCode, EventCause
from edge.door.hardware import DoorHardware
from edge.door.inputs import POLL_S
from edge.door.paths import DoorPaths
from edge.door.record import DoorAuditLog, LockState, PreviousRun
from edge.door.relay import RelayOutput
from edge.door.schedule_clock import ScheduleClock
from edge.door.settings import DoorSettings, describe_unknown
from edge.door.signals import DoorSignals
from edge.door.state_file import PendingSave
from edge.door.zone_file import ZoneFile
from edge.door.zone_lock import ZoneLock
from edge.system.timesync import boot_id
from edge.system.wallclock import WallClock
from edge.values import DoorEvent

log = logging.getLogger(__name__)

NOTE_MAX = 256
_SCHEDULE_S = 1.0  # interval of reading the schedule
_ZONES_S = 0.2  # longest wait for the zones that another process holds
_IDLE_S = 0.05  # longest wait, so that signals and finished threads are noticed


class Door:
    """Applies inputs, schedule and time to the controller, and its result to the relays."""

    def __init__(
        self,
        settings: DoorSettings,
        hardware: DoorHardware,
        log_writer: AsyncLogWriter,
        previous: PreviousRun,
        clock: Callable[[], float],
        wall: WallClock,
        paths: DoorPaths,
    ) -> None:
        self.settings = settings
        self.wall = wall
        self.clock = clock
        self.controller = Controller(settings.timing, previous.latches)
        self.log = DoorAuditLog(
            log_writer, previous, lambda: self.controller.latches, self._lock_state, wall
        )
        self.log.update_retention(settings.retention)
        self.access = AccessController(
            settings.access,
            ZoneFile(paths.zones),
            ZoneLock(paths.zones_lock, clock),
            clock,
            wall,
            self._door_statuses,
        )
        self.states = DoorStates(paths.states, settings.access.door, clock, boot_id())
        self.signals = DoorSignals(hardware.signals)
        self._hardware = hardware
        self._schedule = ScheduleClock(wall)
        self._schedule_read_at = -math.inf
        self._reported: tuple[str, ...] = ()  # alarms logged last
        self._is_energised = self._is_alarm_on = False
        hardware.relay.deenergise()

    def start(self, previous: PreviousRun) -> None:
        """Record how the previous run ended and how this one starts."""
        if previous.error:
            log.error(
                "%s; the door starts in lockdown because its previous state is unknown; "
                "end it with: edge-door release",
                previous.error,
            )
            self.append(DoorEventCode.GAP, EventCause.UNREADABLE_RECORD, note=previous.error)
        elif previous.last_event not in (None, DoorEventCode.STOPPED):
            self.append(DoorEventCode.GAP, EventCause.UNCLEAN_STOP)
        for account in self.settings.unknown_accounts:
            log.error("ignored: %s", describe_unknown(account))
            self.append(DoorEventCode.ACCOUNT_IGNORED, EventCause.UNKNOWN_ACCOUNT, note=account)
        confirmation = confirmation_field(self.wall.trust)
        self.append(DoorEventCode.STARTED, self.controller.reason, more=confirmation)

    def update_settings(self, settings: DoorSettings) -> None:
        """Use other settings; a running pulse keeps its end."""
        self.settings = settings
        self.controller.update_timing(settings.timing)
        self.access.update_settings(settings.access)
        self.log.update_retention(settings.retention)
        self.request_schedule_update()

    def request_schedule_update(self) -> None:
        """Read the schedule at the next update."""
        self._schedule_read_at = -math.inf

    def wait_s(self, limit_s: float = _IDLE_S) -> float:
        """Return for how many seconds no update is needed, at most `limit_s`."""
        if self._hardware.inputs:
            limit_s = min(limit_s, POLL_S)
        now, deadline = self.clock(), self.controller.deadline
        limit_s = min(limit_s, self.signals.wait_s(now))
        return limit_s if deadline is None else max(0.0, min(limit_s, deadline - now))

    def update(self) -> None:
        """Pass inputs, schedule and time to the controller, and switch the relays."""
        now = self.clock()
        self._update_inputs(now)
        if now - self._schedule_read_at >= _SCHEDULE_S:
            self._schedule_read_at = now
            mode = self.access.update_schedule(self._schedule.mode(self.settings.schedule))
            self.controller.update_schedule(mode, now)
        self.controller.tick(now)
        self.switch_relays()
        is_unlocked, is_alarm = self.controller.energised, self.controller.alarm
        self.signals.update(now, is_unlocked=is_unlocked, is_alarm=is_alarm)
        self.access.run_maintenance()
        self.log.run_maintenance(now)

    def _update_inputs(self, now: float) -> None:
        for kind, level in self._hardware.inputs.read_changes(now) if self._hardware.inputs else ():
            known = self.controller.levels[kind]
            self.controller.update_input(kind, level, now)
            if level and kind is InputKind.CONTACT and known is False:
                self.access.opened()
            elif level and kind is InputKind.PASSAGE and known is False:
                self.access.passed()
                if not self.access.has_grants:
                    self.controller.passed(now)

    def switch_relays(self) -> None:
        """Switch the relays, then publish and record: locking never waits for the disk.

        Raises DoorError.
        """
        controller = self.controller
        if self._is_energised != controller.energised:
            self._is_energised = controller.energised
            _switch(self._hardware.relay, self._is_energised)
            log.info("%s (%s)", self._lock_state().lock, controller.reason)
            if not self._is_energised:
                self.access.relocked()
        if self._hardware.alarm is not None and self._is_alarm_on != controller.alarm:
            self._is_alarm_on = controller.alarm
            _switch(self._hardware.alarm, self._is_alarm_on)
        self.states.publish(self._own_status())
        if self._reported != controller.alarms:
            self._reported = controller.alarms
            log.warning("alarms: %s", ", ".join(self._reported) or "none")
        events, controller.events = controller.events + self.access.events, []
        self.access.events = []
        for event in events:
            self.log.append(event)

    def announce_unlock(self) -> bool:
        """Publish the door as unlocked before a grant; False if that fails."""
        return self.states.publish(replace(self._own_status(), is_unlocked=True))

    def append(
        self,
        event: DoorEventCode,
        reason: str,
        *,
        note: str | None = None,
        operator: str | None = None,
        user: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> PendingRecord:
        """Record an event that happens now."""
        note = note if note is None else note[:NOTE_MAX]
        by: dict[str, Any] = {"operator": operator, "user": user, "note": note}
        return self.log.append(DoorEvent(event, reason, self.clock(), **by), more)

    def wait_recorded(self, record: PendingRecord, deadline: float) -> bool:
        """Wait until a record is on disk; False if it is not by then.

        The door is updated during the wait: inputs are read, and pulses end in time.
        """
        while not record.done.is_set() and (now := self.clock()) < deadline:
            record.done.wait(self.wait_s(deadline - now))
            self.update()
        if not record.done.is_set():
            log.error("%s not recorded in time: the disk is too slow", record.fields["event"])
        return record.written

    @contextlib.contextmanager
    def hold_zones(self, lane: str, people: Iterable[RulePerson]) -> Iterator[bool]:
        """Hold the zones during a request that depends on them; False if they are not free in time.

        Another process may hold them. The door is updated during the wait.
        """
        is_needed = any(self.access.depends_on_state(lane, person) for person in people)
        try:
            yield not is_needed or self._wait_zones(self.clock() + _ZONES_S)
        finally:
            self.access.end_request()

    def _wait_zones(self, deadline: float) -> bool:
        while not self.access.begin_request():
            if (now := self.clock()) >= deadline:
                log.error(
                    "the zones are not free after %g s: another door process holds them; the "
                    "request is refused; if it repeats, restart that edge-door",
                    _ZONES_S,
                )
                return False
            self.access.wait(self.wait_s(deadline - now))
            self.update()
        return True

    def wait_saved(self, save: PendingSave, deadline: float) -> bool:
        """Wait until a state is on disk; False if it is not by then."""
        while not save.done.is_set() and (now := self.clock()) < deadline:
            self.access.wait(self.wait_s(deadline - now))
            self.update()
        if not save.done.is_set():
            log.error("the state was not saved in time: the disk is too slow")
        return save.written

    def status(self) -> dict[str, Any]:
        controller, now = self.controller, self.clock()
        levels = controller.levels.items()
        return {
            "terminal": self.settings.terminal,
            "door": self.settings.access.door,
            "instance": self.settings.instance,
            "state": self._lock_state().lock,
            "reason": controller.reason,
            "relocks_in_s": round(max(0.0, controller.relocks_at - now), 3),
            "alarms": list(controller.alarms),
            "records_lost": self.log.lost,
            "clock": clock_status(self.wall),
            "inputs": {kind.value: level for kind, level in levels if level is not None},
        }

    def stop(self) -> None:
        """Lock, close the hardware and record the stop, the last two whatever fails."""
        self.controller.lock()
        with contextlib.ExitStack() as steps:  # last in, first out
            steps.callback(self.append, DoorEventCode.STOPPED, EventCause.LOCKED)
            steps.callback(self.access.close)
            steps.callback(self.states.close)
            steps.callback(self._hardware.close)

    def _door_statuses(self) -> DoorStatuses:
        """Return the states for the rules; a door whose level is unknown counts as open."""
        other = self.controller.levels[InputKind.MANTRAP] is not False
        return {
            **self.states.read(),
            self.settings.access.door: self._own_status(),
            OTHER_DOOR: DoorStatus(is_unlocked=other, is_open=other),
        }

    def _own_status(self) -> DoorStatus:
        contact = self.controller.levels[InputKind.CONTACT]
        is_open = self.settings.access.has_contact and contact is not False
        return DoorStatus(self.controller.energised, is_open)

    def _lock_state(self) -> LockState:
        lock = "unlocked" if self.controller.energised else "locked"
        return LockState(lock, self.controller.alarms)


def _switch(relay: RelayOutput, on: bool) -> None:
    if on:
        relay.energise()
    else:
        relay.deenergise()
