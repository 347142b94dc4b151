"""Dual authorisation: two different people request a grant together."""

from __future__ import annotations

from dataclasses import dataclass

from edge.access.rules.settings import TwoPeople
from edge.access.rules.values import RulePerson


@dataclass(frozen=True, slots=True)
class FirstOfTwo:
    """Person who has completed a request and waits for the second one at a lane."""

    person: RulePerson
    at: float  # monotonic seconds
    duress: bool

    def counts_for(self, second: RulePerson, rule: TwoPeople, at: float) -> bool:
        """Return True if both people together complete the request now."""
        return second.name != self.person.name and 0 <= at - self.at <= rule.within_s


def is_permitted(person: RulePerson, rule: TwoPeople) -> bool:
    """Return True if a person may be one of the two."""
    return not rule.groups or not rule.groups.isdisjoint(person.groups)
