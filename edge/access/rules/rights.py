"""Rights of one person at a lane: groups, first and last day, number of uses."""

from __future__ import annotations

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.ledger import ZoneLedger
from edge.access.rules.settings import AccessRules, Lane
from edge.access.rules.values import Direction, Moment, RulePerson


def check_rights(
    rules: AccessRules, ledger: ZoneLedger, lane: Lane, person: RulePerson, moment: Moment
) -> RuleRefusal | None:
    """Return why a person has no right to use a lane now; None if they have it."""
    if lane.groups and lane.groups.isdisjoint(person.groups):
        return RuleRefusal.NOT_IN_GROUP
    return _check_day(rules, person, moment) or _check_uses(ledger, lane, person)


def _check_day(rules: AccessRules, person: RulePerson, moment: Moment) -> RuleRefusal | None:
    if person.valid_from is None and person.valid_until is None:
        return None
    if not moment.clock_trusted:
        return RuleRefusal.CLOCK_UNTRUSTED
    day = rules.day(moment.wall)
    is_early = person.valid_from is not None and day < person.valid_from
    is_late = person.valid_until is not None and day > person.valid_until
    return RuleRefusal.NOT_VALID_TODAY if is_early or is_late else None


def _check_uses(ledger: ZoneLedger, lane: Lane, person: RulePerson) -> RuleRefusal | None:
    """Check the entries of a visitor; an exit is never counted."""
    if person.max_uses is None or lane.direction is Direction.OUT:
        return None
    if not ledger.is_known:
        return RuleRefusal.STATE_UNKNOWN
    return RuleRefusal.USED_UP if ledger.uses_of(person.name) >= person.max_uses else None
