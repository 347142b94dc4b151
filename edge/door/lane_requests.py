"""Requests at the lanes of a door: factors are presented to the rules; allowed ones unlock."""

from __future__ import annotations

import secrets
from dataclasses import replace

from edge.access.rules.values import Allowed, Factor, RulePerson, Waiting
from edge.codes import Code
from edge.door.credentials import Credentials
from edge.door.credentials_file import PersonEntry
from edge.door.door import Door
from edge.door.events import DoorEventCode, DoorRefusal, EventCause
from edge.door.panel_requests import PanelRequests, PanelWaiting
from edge.door.people_watcher import PeopleWatcher
from edge.door.unlocker import GrantUnlocker, grant_event
from edge.names import name_key
from edge.values import NOT_RECORDED, Grant

_CLAIMS = frozenset({Factor.CARD, Factor.PIN})

Answer = Waiting | PanelWaiting | Code | None  # None: the door unlocked


class LaneRequests:
    """Decides on verified factors of people. Fire, REX and operators are not subject to it.

    With a `panel` the rules decide who is reported to it, and the panel decides who enters.
    """

    def __init__(
        self,
        door: Door,
        people: PeopleWatcher,
        unlocker: GrantUnlocker,
        panel: PanelRequests | None,
    ) -> None:
        self._door = door
        self._people = people
        self._unlocker = unlocker
        self.panel = panel
        self._faces: dict[str, Grant] = {}  # newest request of a face that waits, by lane

    @property
    def credentials(self) -> Credentials:
        return self._people.credentials

    def claimed_person(self, lane: str) -> str | None:
        """Return the person whose card or PIN waits for a face at a lane of this door."""
        request = self._door.access.find_open(lane)
        if request is None or not request.presented & _CLAIMS or Factor.FACE in request.presented:
            return None
        entry = self.credentials.find_person(request.person.name)
        return request.person.name if entry is None else entry.name

    def present_face(self, grant: Grant) -> Answer:
        """Take a request of a recogniser for the lane of its camera.

        A face that was compared 1:1 counts only with a card or PIN of that person.
        """
        refusal = self._door.settings.access.find_refusal(grant.lane)
        if refusal is None and grant.claimed:
            claimed = name_key(self.claimed_person(grant.lane) or "")
            refusal = None if claimed == name_key(grant.subject) else DoorRefusal.CLAIM_ENDED
        if refusal is not None:
            self._unlocker.refuse(grant, refusal)
            return refusal
        entry = self.credentials.find_person(grant.subject)
        person = RulePerson(name_key(grant.subject)) if entry is None else entry.attributes
        answer = self._present(Factor.FACE, person, grant, masked=grant.masked)
        if isinstance(answer, Waiting):
            self._faces[grant.lane] = grant
        return answer

    def present_credential(self, lane: str, factor: Factor, entry: PersonEntry) -> Answer:
        """Take a verified card or PIN at a lane."""
        face, now = self._faces.get(lane), self._door.clock()
        grant = Grant(secrets.token_hex(8), entry.name, NOT_RECORDED, now, lane)
        if face is not None and name_key(face.subject) == name_key(entry.name):
            window_s = self._door.settings.access.rules.factor_window_s
            if now - face.frame_at <= window_s:  # the decision that completes this request
                grant = replace(grant, record_id=face.record_id)
        return self._present(factor, entry.attributes, grant)

    def _present(
        self, factor: Factor, person: RulePerson, grant: Grant, *, masked: bool = False
    ) -> Answer:
        door = self._door
        refusal: Code | None = door.controller.check(grant, door.clock())
        if refusal is None and self.credentials.damage:
            refusal = DoorRefusal.PEOPLE_UNREADABLE
        if refusal is not None:
            self._unlocker.refuse(grant, refusal)
            return refusal
        with door.hold_zones(grant.lane, (person,)) as is_held:
            if is_held:
                return self._decide(factor, person, grant, masked=masked)
        self._unlocker.refuse(grant, DoorRefusal.ZONES_BUSY)
        return DoorRefusal.ZONES_BUSY

    def _decide(self, factor: Factor, person: RulePerson, grant: Grant, *, masked: bool) -> Answer:
        """Present a factor to the rules, and unlock if they allow it."""
        outcome = self._door.access.present(grant.lane, factor, person, masked=masked)
        if isinstance(outcome, Waiting):
            self._record_waiting(outcome, grant)
            return outcome
        self._faces.pop(grant.lane, None)
        if isinstance(outcome, Allowed):
            grant = replace(grant, extended=outcome.extended)
            if self.panel is not None:
                return self.panel.request(grant, outcome, self.credentials)
            return self._unlocker.unlock(grant, outcome)
        self._unlocker.refuse(grant, outcome.reason)
        return outcome.reason

    def _record_waiting(self, waiting: Waiting, grant: Grant) -> None:
        cause = EventCause.MISSING_FACTOR
        if waiting.needs_second_person:
            cause = EventCause.MISSING_PERSON
        event = grant_event(DoorEventCode.WAITING, cause, self._door.clock(), grant)
        self._door.log.append_refusal(event, {"missing": missing_factors(waiting)})


def missing_factors(waiting: Waiting) -> list[str]:
    """Return the factors that are still possible; none if a second person is missing."""
    return sorted(factor.value for factor in waiting.missing)
