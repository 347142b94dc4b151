"""Grants: recorded and saved first, checked again, then the relay moves."""

from __future__ import annotations

from typing import Any

from edge.access.rules.values import Allowed
from edge.codes import Code
from edge.door.door import Door
from edge.door.events import DoorEventCode, DoorRefusal, EventCause
from edge.errors import DoorError
from edge.names import name_key
from edge.values import DoorEvent, Grant

RECORD_DEADLINE_S = 0.2


class GrantUnlocker:
    """Unlocks the door for requests that the rules allow."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def unlock(self, grant: Grant, allowed: Allowed) -> Code | None:
        """Record a grant and save the zones, then unlock; return why it was refused.

        Raises DoorError if the relay fails: its state is unknown, and the process ends.
        """
        door = self._door
        refusal: Code | None = self._save(grant, allowed)
        now = door.clock()
        refusal = refusal or door.controller.check(grant, now)  # the frame may be too old by now
        refusal = refusal or door.access.check(allowed)
        if refusal is None and not door.announce_unlock():
            refusal = DoorRefusal.NOT_RECORDED  # another door could unlock too
        if refusal is not None:
            door.access.cancel_grant(allowed)
            self.refuse(grant, refusal)
            return refusal
        door.controller.unlock(grant, now)
        try:
            door.switch_relays()
        except DoorError:
            door.controller.lock()
            door.log.append(grant_event(DoorEventCode.FAILED, EventCause.RELAY, now, grant))
            raise
        door.access.end_grant(allowed)
        door.request_schedule_update()  # open hours may begin with this person
        door.log.append(grant_event(DoorEventCode.UNLOCKED, EventCause.GRANT, now, grant))
        return None

    def refuse(self, grant: Grant, refusal: Code) -> None:
        """Record that a request was refused."""
        event = grant_event(DoorEventCode.REFUSED, refusal, self._door.clock(), grant)
        self._door.log.append_refusal(event, self._lane_field(grant.lane))

    def _save(self, grant: Grant, allowed: Allowed) -> DoorRefusal | None:
        door = self._door
        deadline = door.clock() + RECORD_DEADLINE_S
        more: dict[str, Any] = self._lane_field(allowed.lane)
        if allowed.violations:
            more["violations"] = [violation.value for violation in allowed.violations]
        if others := [each.name for each in allowed.people if each.name != name_key(grant.subject)]:
            more["other"] = others[0]
        event = grant_event(DoorEventCode.GRANTED, EventCause.GRANT, door.clock(), grant)
        record = door.log.append(event, more)
        save = door.access.begin_grant(allowed)
        is_saved = door.wait_recorded(record, deadline)
        if save is not None:
            is_saved = door.wait_saved(save, deadline) and is_saved
        if is_saved or door.settings.unlock_unrecorded:
            return None
        return DoorRefusal.NOT_RECORDED

    def _lane_field(self, lane: str) -> dict[str, Any]:
        """Return the field of the lane; a door with one lane needs none."""
        return {"lane": lane} if len(self._door.settings.access.lanes) > 1 else {}


def grant_event(event: DoorEventCode, reason: str, at: float, grant: Grant) -> DoorEvent:
    """Return an event of a grant."""
    return DoorEvent(event, reason, at, grant.subject, grant.id, grant.record_id)
