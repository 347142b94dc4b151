"""Anti-passback: a second entry without an exit, or exit without an entry, is a violation."""

from __future__ import annotations

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.ledger import ZoneLedger
from edge.access.rules.settings import AccessZone, Lane
from edge.access.rules.state import Presence
from edge.access.rules.values import Direction, Moment, RulePerson


def find_violation(
    ledger: ZoneLedger, lane: Lane, person: RulePerson, moment: Moment
) -> RuleRefusal | None:
    """Return how a passage of a person would violate the anti-passback of the lane's zone.

    The caller refuses a violation if the zone is hard, and records it if it is soft.
    """
    zone = lane.zone
    if zone is None or zone.anti_passback == "off" or person.anti_passback_exempt:
        return None
    is_entry = lane.direction is Direction.IN
    if not ledger.is_known:
        return RuleRefusal.STATE_UNKNOWN if is_entry else None
    if ledger.is_pending(person.name, zone.name):
        return RuleRefusal.PASSAGE_PENDING
    presence = ledger.presence_of(person.name, zone.name)
    if presence is None or _is_forgotten(presence, zone, moment):
        return None
    if presence.is_inside == is_entry:
        return RuleRefusal.ALREADY_INSIDE if is_entry else RuleRefusal.NOT_INSIDE
    return None


def _is_forgotten(presence: Presence, zone: AccessZone, moment: Moment) -> bool:
    """Return True if the last passage is too old. A time that is not trusted forgets nothing."""
    if zone.forget_after_s is None or presence.wall_s is None or not moment.clock_trusted:
        return False
    return moment.wall.timestamp() - presence.wall_s >= zone.forget_after_s
