"""Access rights of a recognised person at one door. Pure: the day is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from edge.access.reasons import Reason
from edge.names import name_key
from edge.subject import SubjectRecord


@dataclass(frozen=True, slots=True)
class AccessRights:
    """Groups with access to one door, and the present day."""

    groups: frozenset[str]  # keys of group names; empty: all enrolled people have access
    today: Callable[[], date | None]  # None while the clock is not trusted

    def find_refusal(self, record: SubjectRecord) -> Reason | None:
        """Return the reason why a person has no access; None if they have access."""
        if self.groups and self.groups.isdisjoint(map(name_key, record.groups)):
            return Reason.NOT_IN_GROUP
        if not record.is_limited:
            return None
        day = self.today()
        if day is None:
            return Reason.CLOCK_UNTRUSTED
        return None if record.is_valid_on(day) else Reason.NOT_VALID_TODAY
