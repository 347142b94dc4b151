"""Whether a person who was recognised may pass here today. Pure, the day is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

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

    def refuses(self, record: SubjectRecord) -> str | None:
        """Why not, as a stable code; None where the person may pass."""
        if self.groups and self.groups.isdisjoint(map(name_key, record.groups)):
            return "not-in-group"
        if not record.is_limited:
            return None
        day = self.today()
        if day is None:
            return "clock-in-doubt"
        return None if record.is_valid_on(day) else "not-valid-today"
