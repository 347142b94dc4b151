"""Occupancy limit of a zone: a full zone refuses entry, never exit."""

from __future__ import annotations

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.ledger import ZoneLedger
from edge.access.rules.settings import Lane
from edge.access.rules.values import Direction


def check_occupancy(ledger: ZoneLedger, lane: Lane, people: int) -> RuleRefusal | None:
    """Return why `people` more people may not enter; people with a pending entry count."""
    zone = lane.zone
    if zone is None or zone.max_people is None or lane.direction is Direction.OUT:
        return None
    if not ledger.is_known:
        return RuleRefusal.STATE_UNKNOWN
    expected = ledger.count_of(zone.name) + ledger.pending_entries(zone.name) + people
    return RuleRefusal.ZONE_FULL if expected > zone.max_people else None
