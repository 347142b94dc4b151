"""Whether a person who was recognised may pass here today. Pure, the day is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from edge.access.reasons import Reason
from edge.names import name_key
from edge.subject import SubjectRecord


def _unknown_day() -> date | None:
    return None


@dataclass(frozen=True, slots=True)
class AccessRights:
    """Of one door."""

    groups: frozenset[str] = (
        frozenset()
    )  # keys of group names; a person must be in one of them; empty: all enrolled people
    today: Callable[[], date | None] = _unknown_day  # None where the clock cannot be right

    def find_refusal(self, record: SubjectRecord) -> Reason | None:
        """Return why a person has no access, None if they have."""
        if self.groups and self.groups.isdisjoint(map(name_key, record.groups)):
            return Reason.NOT_IN_GROUP
        if not record.is_limited:
            return None
        day = self.today()
        if day is None:
            return Reason.CLOCK_UNTRUSTED
        return None if record.is_valid_on(day) else Reason.NOT_VALID_TODAY
