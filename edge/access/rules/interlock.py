"""Interlock of doors (mantrap): only one may be unlocked or open."""

from __future__ import annotations

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.settings import AccessRules, Lane
from edge.access.rules.values import DoorStatuses


def check_interlock(rules: AccessRules, lane: Lane, doors: DoorStatuses) -> RuleRefusal | None:
    """Return why a grant must wait for another door. Fire and REX never ask this rule."""
    if lane.door not in rules.interlock:
        return None
    for other in rules.interlock - {lane.door}:
        status = doors.get(other)
        if status is None or status.is_unlocked or status.is_open:
            return RuleRefusal.INTERLOCK
    return None
