"""Access rules of one door with the state of its zones on disk."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.engine import RulesEngine
from edge.access.rules.values import (
    Allowed,
    DoorStatuses,
    Factor,
    Moment,
    OpenRequest,
    RuleOutcome,
    RulePerson,
)
from edge.access.schedule import ScheduledMode
from edge.door.access_settings import AccessSettings
from edge.door.events import DoorEventCode, EventCause
from edge.door.state_file import PendingSave, StateFile
from edge.system.wallclock import WallClock
from edge.values import DoorEvent

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


class ZoneKeeper:
    """Asks the rules, follows passages, and keeps the state of the zones on disk.

    `events` collects what happened until the door takes it. Nothing waits here.
    """

    def __init__(
        self,
        settings: AccessSettings,
        file: StateFile,
        clock: Callable[[], float],
        wall: WallClock,
        doors: Callable[[], DoorStatuses],
    ) -> None:
        self._settings = settings
        self._engine = RulesEngine(settings.rules)
        self._file = file
        self._clock, self._wall, self._doors = clock, wall, doors
        # Revision of the state that was submitted last; None: a grant that is not noted yet.
        self._saved: int | None = self._engine.revision(clock())
        self._planned: int | None = None  # revision that such a grant follows
        self._newest: PendingSave | None = None
        self._failed_at = -math.inf
        self._is_granting = False
        self.events: list[DoorEvent] = []

    def restore(self, *, exists: bool, value: object) -> None:
        """Take the state of the previous run, see `load_state`."""
        if not exists:
            return
        error = self._engine.restore(value)
        if error is None:
            self._saved = self._engine.revision(self._clock())
            return
        log.error(
            "%s; entries that depend on it are refused; check who is inside, then run: "
            "edge-door reset-anti-passback --all",
            error,
        )
        self._emit(DoorEventCode.ZONES_INVALID, EventCause.UNREADABLE_RECORD, note=error)

    def update_settings(self, settings: AccessSettings) -> None:
        """Use other holidays or another time zone; other changes need a restart."""
        self._settings = settings
        self._engine.update_calendar(settings.rules)

    # ---------------------------------------------------------------- requests

    def moment(self) -> Moment:
        """Return the present time by both clocks."""
        now, doubt = self._wall.read_with_doubt()
        try:
            return Moment(self._clock(), datetime.fromtimestamp(now, timezone.utc), doubt is None)
        except (ValueError, OverflowError, OSError):
            return Moment(self._clock(), _EPOCH, clock_trusted=False)

    def present(
        self, lane: str, factor: Factor, person: RulePerson, *, masked: bool = False
    ) -> RuleOutcome:
        """Present a verified factor to the rules."""
        return self._engine.present(
            lane, factor, person, self.moment(), self._doors(), masked=masked
        )

    def find_open(self, lane: str) -> OpenRequest | None:
        """Return the request that waits at a lane."""
        return self._engine.find_open(lane, self._clock())

    def end_requests(self) -> None:
        """End the requests that wait."""
        self._engine.end_requests()

    def check(self, allowed: Allowed) -> RuleRefusal | None:
        """Return why an allowed request must be refused after all."""
        return self._engine.check(allowed, self.moment(), self._doors())

    def begin_grant(self, allowed: Allowed) -> PendingSave | None:
        """Save the state that a grant leads to; None if it changes nothing on disk.

        Until `end_grant` passages wait to be saved: a newer state would lack the grant.
        """
        self._is_granting = True
        state = self._engine.state_if_granted(allowed, self.moment(), self._doors())
        is_saved = self._newest is None and self._failed_at == -math.inf
        if state is None:
            return None if is_saved else self._save()
        pending = self._submit(state)
        self._planned, self._saved = self._saved, None
        return pending

    def end_grant(self, allowed: Allowed | None) -> None:
        """Note the grant, None if it was refused after all."""
        before = self._engine.revision(self._clock())
        if allowed is not None:
            self._engine.granted(allowed, self.moment(), self._doors())
            if before == self._planned:  # the submitted state has this grant, and nothing else
                self._saved = self._engine.revision(self._clock())
        self._is_granting, self._planned = False, None
        self._save_changes()

    def cancel_grant(self, allowed: Allowed) -> None:
        """Note that an allowed request was refused after all."""
        self._engine.cancelled(allowed)
        self.end_grant(None)

    # ---------------------------------------------------------------- the door

    def opened(self) -> None:
        """Note that the contact reports an opening."""
        moment = self.moment()
        for person in self._engine.opened(self._settings.door, moment):
            self._emit(DoorEventCode.PASSAGE, EventCause.CONTACT, subject=person)
        self._save_changes()

    def passed(self) -> None:
        """Note that the passage sensor reports a person."""
        lane = next((one for one in self._settings.lanes if one.passage == "sensor"), None)
        if lane is None:
            return
        passage = self._engine.passed(lane.name, self.moment())
        if passage.is_tailgating:
            log.warning("tailgating: a person passed without a grant")
            self._emit(DoorEventCode.TAILGATING, EventCause.SENSOR)
        else:
            self._emit(DoorEventCode.PASSAGE, EventCause.SENSOR, subject=passage.person)
        self._save_changes()

    @property
    def has_grants(self) -> bool:
        """True if a person with a grant has not passed, and the grant has not ended."""
        return self._engine.has_grants(self._settings.door)

    def relocked(self) -> None:
        """Note that the door has locked."""
        self._engine.relocked(self._settings.door, self._clock())

    def update_schedule(self, mode: ScheduledMode) -> ScheduledMode:
        """Take the mode by schedule; return the one that applies."""
        return self._engine.update_schedule(self._settings.door, mode)

    def run_maintenance(self) -> None:
        """Save grants that became void, and repeat a save that failed."""
        newest, now = self._newest, self._clock()
        if newest is not None and newest.done.is_set():
            self._newest = None
            if not newest.written:
                log.error("%s", newest.error)
                self._emit(DoorEventCode.ZONES_NOT_SAVED, EventCause.DISK, note=newest.error)
                self._failed_at = now
        if self._is_granting:
            return
        if self._failed_at > -math.inf and now - self._failed_at >= _RETRY_S:
            self._failed_at = -math.inf
            self._save()
        self._save_changes()

    # ---------------------------------------------------------------- operators

    def reset_person(self, person: str) -> PendingSave:
        self._engine.reset_person(person)
        return self._save()

    def reset_all(self) -> PendingSave:
        self._engine.reset_all()
        return self._save()

    def reset_uses(self, person: str) -> PendingSave:
        self._engine.reset_uses(person)
        return self._save()

    def set_occupancy(self, zone: str, people: int) -> PendingSave:
        """Set the number of people inside. Raises ValueError."""
        self._engine.set_occupancy(zone, people)
        return self._save()

    @property
    def zones(self) -> dict[str, tuple[int, int | None]]:
        """Number of people inside and its limit, by zone."""
        zones = [lane.zone for lane in self._settings.rules.lanes.values() if lane.zone]
        return {zone.name: (self._engine.occupancy(zone.name), zone.max_people) for zone in zones}

    @property
    def is_state_known(self) -> bool:
        return self._engine.is_state_known

    def close(self) -> None:
        self._file.close()

    # ---------------------------------------------------------------- parts

    def _save_changes(self) -> None:
        """Save the state if it is another one than on disk."""
        if not self._is_granting and self._engine.revision(self._clock()) != self._saved:
            self._save()

    def _save(self) -> PendingSave:
        return self._submit(self._engine.state(self._clock()))

    def _submit(self, state: dict[str, Any]) -> PendingSave:
        self._saved = self._engine.revision(self._clock())
        self._newest = self._file.submit(state)
        return self._newest

    def _emit(
        self, event: DoorEventCode, cause: str, *, subject: str | None = None, note: str = ""
    ) -> None:
        self.events.append(
            DoorEvent(event, cause, self._clock(), subject=subject, note=note or None)
        )
