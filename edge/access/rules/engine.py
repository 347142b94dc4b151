"""Access rules of one terminal. A decision changes no zone: `granted` and the passages do.

    present -> Waiting | Refused | Allowed
    Allowed -> the caller saves `state_if_granted` and records the grant, calls `check` again,
               unlocks, and calls `granted`; if it cannot, `cancelled`

The state is saved before the relay moves: a power cut loses no grant. If the state cannot be saved,
the grant is refused and nothing has changed. Fire, REX and operators are not
subject to these rules.
"""

from __future__ import annotations

from edge.access.rules.anti_passback import find_violation
from edge.access.rules.codes import RuleRefusal
from edge.access.rules.content import ZoneContent
from edge.access.rules.dual import FirstOfTwo, is_permitted
from edge.access.rules.factors import FactorCollector
from edge.access.rules.first_person import FirstPersonRule
from edge.access.rules.interlock import check_interlock
from edge.access.rules.ledger import ZoneLedger
from edge.access.rules.modes import accepted_factors
from edge.access.rules.occupancy import check_occupancy
from edge.access.rules.rights import check_rights
from edge.access.rules.settings import AccessRules, Lane
from edge.access.rules.state import PendingPassage
from edge.access.rules.values import (
    Allowed,
    Direction,
    DoorStatuses,
    Factor,
    Moment,
    OpenRequest,
    Passage,
    Refused,
    RuleOutcome,
    RulePerson,
    Waiting,
)
from edge.access.schedule import ScheduledMode


class RulesEngine:
    """Decides on verified factors at the lanes of one terminal."""

    def __init__(self, rules: AccessRules) -> None:
        self._rules = rules
        self._factors = {name: FactorCollector(rules.factor_window_s) for name in rules.lanes}
        self._first_of_two: dict[str, FirstOfTwo] = {}  # by lane
        self._first_person = FirstPersonRule(rules.first_person)
        own = {lane.name for lane in rules.lanes.values() if lane.door in rules.doors}
        self._ledger = ZoneLedger(own, rules.lanes.keys() - own)

    # ---------------------------------------------------------------- decisions

    def present(
        self,
        lane: str,
        factor: Factor,
        person: RulePerson,
        moment: Moment,
        doors: DoorStatuses,
        *,
        masked: bool = False,
    ) -> RuleOutcome:
        """Take a verified factor of a person at a lane; return the outcome of the request.

        `masked` belongs to a face: a mask is worn, or it is uncertain.
        """
        self._ledger.drop_void(moment.at)
        if lane not in self._rules.lanes:
            return Refused(lane, RuleRefusal.UNKNOWN_LANE, factor is Factor.DURESS_PIN)
        factors = self._factors[lane]
        if not factors.add(factor, person, moment.at, masked=masked):
            return Refused(lane, RuleRefusal.OTHER_PERSON, factor is Factor.DURESS_PIN)
        accepted = accepted_factors(self._rules, person, moment, masked=factors.is_masked)
        outcome: RuleOutcome
        if not accepted:
            outcome = Refused(lane, RuleRefusal.FALLBACK_NOT_ALLOWED, factors.is_duress)
        elif any(each <= factors.presented for each in accepted):
            outcome = self._decide(self._rules.lanes[lane], person, moment, doors)
        else:
            missing = frozenset[Factor]().union(*accepted) - factors.presented
            return Waiting(lane, missing, factors.until, factors.is_duress)
        if not isinstance(outcome, Allowed):
            factors.clear()  # the request is over
        return outcome

    def check(self, allowed: Allowed, moment: Moment, doors: DoorStatuses) -> RuleRefusal | None:
        """Return why an allowed request must be refused after all, None if it may unlock now."""
        lane = self._rules.lanes[allowed.lane]
        return self._find_refusal(lane, allowed.people, moment, doors)

    def _decide(
        self, lane: Lane, person: RulePerson, moment: Moment, doors: DoorStatuses
    ) -> RuleOutcome:
        """Decide on the complete request of a person."""
        duress = self._factors[lane.name].is_duress
        people: tuple[RulePerson, ...] = (person,)
        rule = self._rules.two_people if lane.two_people else None
        if rule is not None:
            refusal = self._find_personal_refusal(lane, person, moment)
            if refusal is not None:
                return Refused(lane.name, refusal, duress)
            first = self._first_of_two.get(lane.name)
            if first is None or not first.counts_for(person, rule, moment.at):
                self._first_of_two[lane.name] = FirstOfTwo(person, moment.at, duress)
                return Waiting(lane.name, frozenset(), moment.at + rule.within_s, duress)
            people, duress = (first.person, person), duress or first.duress
        refusal = self._find_refusal(lane, people, moment, doors)
        if refusal is not None:
            return Refused(lane.name, refusal, duress)
        found = (find_violation(self._ledger, lane, each, moment) for each in people)
        return Allowed(
            lane.name,
            people,
            lane.direction,
            extended=any(each.extended for each in people),
            duress=duress,
            violations=tuple(each for each in found if each is not None),
        )

    def _find_refusal(
        self, lane: Lane, people: tuple[RulePerson, ...], moment: Moment, doors: DoorStatuses
    ) -> RuleRefusal | None:
        """Return the first rule that refuses the grant."""
        for person in people:
            refusal = self._find_personal_refusal(lane, person, moment)
            if refusal is not None:
                return refusal
        return check_occupancy(self._ledger, lane, len(people)) or check_interlock(
            self._rules, lane, doors
        )

    def _find_personal_refusal(
        self, lane: Lane, person: RulePerson, moment: Moment
    ) -> RuleRefusal | None:
        refusal = check_rights(self._rules, self._ledger, lane, person, moment)
        if refusal is not None:
            return refusal
        if lane.zone is not None and lane.zone.anti_passback == "hard":
            refusal = find_violation(self._ledger, lane, person, moment)
            if refusal is not None:
                return refusal
        rule = self._rules.two_people if lane.two_people else None
        if rule is not None and not is_permitted(person, rule):
            return RuleRefusal.NOT_IN_TWO_PEOPLE_GROUP
        return None

    def find_open(self, lane: str, at: float) -> OpenRequest | None:
        """Return the request that waits at a lane, None if there is none."""
        first, rule = self._first_of_two.get(lane), self._rules.two_people
        request = self._factors[lane].open_request(at)
        if request is None and first is not None and rule is not None:
            until = first.at + rule.within_s
            return OpenRequest(first.person, frozenset(), until) if at <= until else None
        return request

    def end_requests(self) -> None:
        """End the requests that wait: rights or credentials of their people may have changed."""
        for factors in self._factors.values():
            factors.clear()
        self._first_of_two.clear()

    def update_calendar(self, rules: AccessRules) -> None:
        """Use rules that differ in holidays and time zone only."""
        self._rules = rules

    # ---------------------------------------------------------------- what happened

    def depends_on_state(self, lane: str, person: RulePerson) -> bool:
        """Return True if a request of a person depends on zones, visits or other doors."""
        if lane not in self._rules.lanes:
            return False
        first, door = self._first_of_two.get(lane), self._rules.lanes[lane].door
        people = (person,) if first is None else (person, first.person)
        has_limit = any(each.max_uses is not None for each in people)
        has_zone = self._rules.lanes[lane].zone is not None
        return has_zone or has_limit or door in self._rules.interlock

    def state_if_granted(
        self, allowed: Allowed, moment: Moment, doors: DoorStatuses
    ) -> ZoneContent | None:
        """Return the state to save before an allowed request is granted, None if it stays.

        Changes nothing.
        """
        ledger = self._ledger.copy()
        ledger.drop_void(moment.at)
        _note_grant(ledger, self._rules.lanes[allowed.lane], allowed, moment, doors)
        return None if ledger.revision == self._ledger.revision else ledger.content

    def granted(self, allowed: Allowed, moment: Moment, doors: DoorStatuses) -> None:
        """Note that the door is unlocked for an allowed request."""
        lane = self._rules.lanes[allowed.lane]
        self._factors[lane.name].clear()
        self._first_of_two.pop(lane.name, None)
        self._first_person.granted(lane, allowed.people)
        _note_grant(self._ledger, lane, allowed, moment, doors)

    def cancelled(self, allowed: Allowed) -> None:
        """Note that an allowed request was refused after all: it is over."""
        self._factors[allowed.lane].clear()
        self._first_of_two.pop(allowed.lane, None)

    def opened(self, door: str, moment: Moment) -> tuple[str, ...]:
        """Note that a door's contact opened; return the people who count as passed.

        All people with a grant count, those whose grant has ended only if no other grant waits.
        """
        self._ledger.drop_void(moment.at)
        lanes = {lane.name for lane in self._rules.lanes_of(door) if lane.passage == "contact"}
        passed = []
        for entry in self._ledger.take_current(lanes):
            self._ledger.commit(entry, _trusted_s(moment))
            passed.append(entry.person)
        return tuple(passed)

    def passed(self, lane: str, moment: Moment) -> Passage:
        """Note that a lane's passage sensor reported one person."""
        self._ledger.drop_void(moment.at)
        zone, direction = self._rules.lanes[lane].zone, self._rules.lanes[lane].direction
        entry = self._ledger.take_pending({lane})
        if entry is not None:
            self._ledger.commit(entry, _trusted_s(moment))
            return Passage(entry.person, is_tailgating=False)
        if zone is not None:
            self._ledger.count_unknown(zone.name, is_entry=direction is Direction.IN)
        return Passage(None, is_tailgating=direction is Direction.IN)

    def has_grants(self, door: str) -> bool:
        """Return True if a grant of a door, without an end yet, waits for its passage."""
        return self._ledger.has_current({lane.name for lane in self._rules.lanes_of(door)})

    def relocked(self, door: str, at: float) -> None:
        """Note that a door has locked: its grants without a passage are void after the grace."""
        for lane in self._rules.lanes_of(door):
            self._ledger.end_pending(lane.name, at + self._rules.passage_grace_s)

    def update_schedule(self, door: str, mode: ScheduledMode) -> ScheduledMode:
        """Take the mode by schedule of a door; return the one that applies."""
        return self._first_person.update_schedule(door, mode)

    # ---------------------------------------------------------------- state and resets

    def state(self, at: float) -> ZoneContent:
        """Return a copy of everything that must survive a restart."""
        self._ledger.drop_void(at)
        return self._ledger.content.copy()

    def revision(self, at: float) -> int:
        """Return a number that differs from the one before if the state has changed."""
        self._ledger.drop_void(at)
        return self._ledger.revision

    def mark_saved(self, first: int, last: int) -> None:
        """Note that the changes of some revisions are on disk."""
        self._ledger.mark_saved(first, last)

    def load(self, content: ZoneContent) -> None:
        """Take the state of an earlier run. Grants of this process that waited count as inside."""
        self._ledger.load(content)

    def refresh(self, content: ZoneContent) -> bool:
        """Take a newer state that another door process saved; changes not saved yet stay.

        Return False if the state lacks grants of this process: it must be saved again.
        """
        return self._ledger.refresh(content)

    def invalidate(self) -> None:
        """Note that the state is invalid: entries that depend on it are refused until a reset."""
        self._ledger.refresh(ZoneContent(is_known=False))

    @property
    def is_state_known(self) -> bool:
        """False after an invalid state, until `reset_all`."""
        return self._ledger.is_known

    def occupancy(self, zone: str) -> int:
        """Return the number of people inside a zone."""
        return self._ledger.count_of(zone)

    def has_person(self, person: str) -> bool:
        """Return True if a reset of a person would change something."""
        return self._ledger.has_person(person)

    def reset_person(self, person: str) -> None:
        """Allow the next passage of a person in either direction in all zones."""
        self._ledger.reset_person(person)

    def reset_all(self) -> None:
        """Allow the next passage of all people in either direction.

        After an invalid state, numbers of people and visits start from zero.
        """
        self._ledger.reset_all()

    def reset_uses(self, person: str) -> None:
        """Count the visits of a person from zero."""
        self._ledger.reset_uses(person)

    def erase_person(self, person: str) -> None:
        """Erase a person who was removed; grants that wait for their passage stay."""
        self._ledger.erase_person(person)

    def set_occupancy(self, zone: str, people: int) -> None:
        """Set the number of people inside a zone; raises ValueError for a negative number."""
        if people < 0:
            raise ValueError(f"expected 0 people or more in zone {zone}, found {people}")
        self._ledger.set_count(zone, people)


def _note_grant(
    ledger: ZoneLedger, lane: Lane, allowed: Allowed, moment: Moment, doors: DoorStatuses
) -> None:
    """Commit a grant at once, or when its passage is reported if the lane reports passages.

    A door that stands open reports no further opening. A sensor reports people without a grant
    too, so each grant at it waits for its passage.
    """
    status = doors.get(lane.door)
    stands_open = lane.passage == "contact" and status is not None and status.is_open
    for person in allowed.people:
        entry = _build_pending(lane, person, moment)
        if lane.passage is None or stands_open:
            ledger.commit(entry, entry.wall_s)
        elif entry.zone is not None or entry.is_counted or lane.passage == "sensor":
            ledger.add_pending(entry)


def _build_pending(lane: Lane, person: RulePerson, moment: Moment) -> PendingPassage:
    is_entry = lane.direction is Direction.IN
    return PendingPassage(
        person=person.name,
        lane=lane.name,
        zone=None if lane.zone is None else lane.zone.name,
        is_entry=is_entry,
        is_counted=is_entry and person.max_uses is not None,
        wall_s=_trusted_s(moment),
    )


def _trusted_s(moment: Moment) -> float | None:
    return moment.wall.timestamp() if moment.clock_trusted else None
