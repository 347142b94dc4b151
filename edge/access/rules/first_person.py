"""First-person unlock: open hours start when an authorised person has entered by a grant."""

from __future__ import annotations

from collections.abc import Iterable

from edge.access.rules.settings import Lane
from edge.access.rules.values import Direction, RulePerson
from edge.access.schedule import ScheduledMode


class FirstPersonRule:
    """Holds back the open hours of each door. Not kept over a restart: they start again."""

    def __init__(self, groups: frozenset[str]) -> None:
        self._groups = groups
        self._modes: dict[str, ScheduledMode] = {}
        self._started: set[str] = set()  # doors

    def update_schedule(self, door: str, mode: ScheduledMode) -> ScheduledMode:
        """Take the mode by schedule of a door; return the mode that applies."""
        self._modes[door] = mode
        if mode is not ScheduledMode.OPEN:
            self._started.discard(door)
        elif self._groups and door not in self._started:
            return ScheduledMode.NORMAL
        return mode

    def granted(self, lane: Lane, people: Iterable[RulePerson]) -> None:
        """Start the open hours of a door if they are due and one of the people may start them."""
        is_due = self._modes.get(lane.door) is ScheduledMode.OPEN
        is_first = any(not self._groups.isdisjoint(person.groups) for person in people)
        if is_due and is_first and lane.direction is Direction.IN:
            self._started.add(lane.door)
