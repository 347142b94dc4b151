"""Access rules of one door with the state of its zones on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timezone

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
from edge.door.access_point import AccessPointSettings
from edge.door.events import DoorEventCode, EventCause
from edge.door.shared_zones import SharedZones
from edge.door.state_file import PendingSave
from edge.door.zone_file import ZoneFile
from edge.door.zone_lock import ZoneLock
from edge.system.wallclock import WallClock
from edge.values import DoorEvent

log = logging.getLogger(__name__)

_EPOCH = datetime.fromtimestamp(0, timezone.utc)


class AccessController:
    """Asks the rules, follows passages, and keeps the state of the zones on disk.

    A request that depends on this state is decided between `begin_request`, repeated until it
    returns True, and `end_request`. `events` collects what happened until the door takes it.
    Nothing waits here but `wait` and the start.
    """

    def __init__(
        self,
        settings: AccessPointSettings,
        file: ZoneFile,
        lock: ZoneLock,
        clock: Callable[[], float],
        wall: WallClock,
        doors: Callable[[], DoorStatuses],
    ) -> None:
        self._settings = settings
        self._engine = RulesEngine(settings.rules)
        self._clock, self._wall, self._doors = clock, wall, doors
        self.events: list[DoorEvent] = []
        rules = settings.rules
        self._shared = SharedZones(
            self._engine,
            file,
            lock,
            clock,
            lambda code, cause, note: self._emit(code, cause, note=note),
            has_other_doors=any(lane.door not in rules.doors for lane in rules.lanes.values()),
        )
        self._planned = self.moment(), False  # of a grant: its time, and if the door stood open
        self._shared.load()

    def update_settings(self, settings: AccessPointSettings) -> None:
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

    def depends_on_state(self, lane: str, person: RulePerson) -> bool:
        """Return True if a request of a person depends on zones, visits or other doors."""
        return self._engine.depends_on_state(lane, person)

    def begin_request(self) -> bool:
        """Lock the zones and take their newest state; True once both are done."""
        return self._shared.begin()

    def end_request(self) -> None:
        """Release the zones once nothing waits to be saved."""
        self._shared.end()

    def wait(self, limit_s: float) -> None:
        """Wait until the state may have changed, at most for a time."""
        self._shared.wait(limit_s)

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

    def abandon(self) -> None:
        """End a grant in progress and the requests that wait, after an error."""
        self.end_grant(None)
        self.end_requests()

    def check(self, allowed: Allowed) -> RuleRefusal | None:
        """Return why an allowed request must be refused after all."""
        return self._engine.check(allowed, self.moment(), self._doors())

    def begin_grant(self, allowed: Allowed) -> PendingSave | None:
        """Save the state that a grant leads to; None if it changes nothing on disk.

        Until `end_grant` passages wait to be saved: a newer state would lack the grant.
        """
        self._planned = moment, _ = self.moment(), self._is_open()
        state = self._engine.state_if_granted(allowed, moment, self._doors())
        return self._shared.begin_grant(state)

    def end_grant(self, allowed: Allowed | None) -> None:
        """Note the grant, None if it was refused after all."""
        if allowed is None:
            self._shared.end_grant(None)
            return
        before = self._engine.revision(self._clock())
        moment, was_open = self._planned
        is_as_planned = was_open == self._is_open()
        self._engine.granted(allowed, moment if is_as_planned else self.moment(), self._doors())
        self._shared.end_grant(before if is_as_planned else None)

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
        self._shared.update()

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
        self._shared.update()

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
        """Save what changed, and repeat a save that failed."""
        self._shared.update()

    # ---------------------------------------------------------------- operators

    def has_person(self, person: str) -> bool:
        """Return True if a reset of a person would change something."""
        return self._engine.has_person(person)

    def reset_person(self, person: str) -> PendingSave:
        self._engine.reset_person(person)
        return self._shared.save()

    def reset_all(self) -> PendingSave:
        self._engine.reset_all()
        return self._shared.save()

    def reset_uses(self, person: str) -> PendingSave:
        self._engine.reset_uses(person)
        return self._shared.save()

    def erase_person(self, person: str) -> PendingSave:
        """Erase a person who was removed."""
        self._engine.erase_person(person)
        return self._shared.save()

    def set_occupancy(self, zone: str, people: int) -> PendingSave:
        """Set the number of people inside. Raises ValueError."""
        self._engine.set_occupancy(zone, people)
        return self._shared.save()

    @property
    def zones(self) -> dict[str, tuple[int, int | None]]:
        """Number of people inside and its limit, by zone."""
        zones = [lane.zone for lane in self._settings.rules.lanes.values() if lane.zone]
        return {zone.name: (self._engine.occupancy(zone.name), zone.max_people) for zone in zones}

    @property
    def is_state_known(self) -> bool:
        return self._engine.is_state_known

    def close(self) -> None:
        self._shared.close()

    # ---------------------------------------------------------------- parts

    def _is_open(self) -> bool:
        """Return True if the door stands open: a grant then counts at once."""
        return self._doors()[self._settings.door].is_open

    def _emit(
        self, event: DoorEventCode, cause: str, *, subject: str | None = None, note: str = ""
    ) -> None:
        self.events.append(
            DoorEvent(event, cause, self._clock(), subject=subject, note=note or None)
        )
