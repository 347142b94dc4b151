"""People inside, their number, used visits and pending passages of all zones of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.access.rules.state import PendingPassage, Presence, ZoneState

PRESENCES_MAX = 50_000  # people of a zone whose side is known


@dataclass(slots=True)
class ZoneContent:
    """State that the doors of a terminal share. All changes of people are made here."""

    is_known: bool = True  # False: an earlier state could not be read
    people: dict[str, dict[str, Presence]] = field(default_factory=dict)  # by zone and person
    counted: dict[str, set[str]] = field(default_factory=dict)  # the number agrees with their side
    counts: dict[str, int] = field(default_factory=dict)  # people inside, by zone
    used: dict[str, int] = field(default_factory=dict)  # visits, by person with a limit
    pending: list[PendingPassage] = field(default_factory=list)  # oldest first
    settled: list[PendingPassage] = field(default_factory=list)  # by resets at other doors

    @classmethod
    def from_state(cls, state: ZoneState) -> ZoneContent:
        """Return the content of a JSON value."""
        return cls(
            state.is_known,
            {zone: dict(people) for zone, people in state.people.items()},
            {
                zone: {person for person, presence in people.items() if presence.is_counted}
                for zone, people in state.people.items()
            },
            dict(state.counts),
            dict(state.used),
            list(state.pending),
            list(state.settled),
        )

    def copy(self) -> ZoneContent:
        """Return a copy that changes apart from this one."""
        return ZoneContent(
            self.is_known,
            {zone: dict(people) for zone, people in self.people.items()},
            {zone: set(people) for zone, people in self.counted.items()},
            dict(self.counts),
            dict(self.used),
            list(self.pending),
            list(self.settled),
        )

    def head(self) -> dict[str, Any]:
        """Return everything but the people of the zones as a JSON value."""
        head: dict[str, Any] = {
            "version": 1,
            "is_known": self.is_known,
            "counts": dict(self.counts),
            "used": dict(self.used),
            "pending": [entry.model_dump() for entry in self.pending],
        }
        if self.settled:
            head["settled"] = [entry.model_dump() for entry in self.settled]
        return head

    # ---------------------------------------------------------------- questions

    def presence_of(self, person: str, zone: str) -> Presence | None:
        """Return the side of a person; None if it is unknown."""
        return self.people.get(zone, {}).get(person)

    def has_person(self, person: str) -> bool:
        """Return True if the side of a person is known in a zone, or a passage is pending."""
        return any(person in people for people in self.people.values()) or any(
            entry.person == person for entry in self.pending
        )

    def count_of(self, zone: str) -> int:
        """Return the number of people inside."""
        return self.counts.get(zone, 0)

    # ---------------------------------------------------------------- passages

    def commit(self, entry: PendingPassage, wall_s: float | None) -> None:
        """Count a passage of a person at a time, None if the clock is not trusted.

        The number of people stays if the person was on this side before. A visit is always used.
        """
        is_settled = self._take_settled(entry)
        if not (is_settled and entry.is_entry):
            self._count(entry)
        self._set(entry, wall_s, is_inside=entry.is_entry)
        if not is_settled:
            self._use(entry)

    def commit_unknown(self, entry: PendingPassage) -> None:
        """Count a grant whose passage is unknown: the person is inside."""
        if self._take_settled(entry):
            return
        if entry.is_entry:
            self._count(entry)
        self._set(entry, entry.wall_s, is_inside=True)
        self._use(entry)

    def count_unknown(self, zone: str, *, is_entry: bool) -> None:
        """Count a passage of an unknown person; the number never falls below zero."""
        self.set_count(zone, max(0, self.count_of(zone) + (1 if is_entry else -1)))

    # ---------------------------------------------------------------- resets

    # The door of a pending passage may not run: a reset counts its grant as inside first.

    def reset_person(self, person: str) -> None:
        """Forget the side of a person in all zones."""
        self._settle(lambda entry: entry.person == person)
        for people in self.people.values():
            people.pop(person, None)
        for counted in self.counted.values():
            counted.discard(person)

    def reset_uses(self, person: str) -> None:
        """Count the visits of a person from zero."""
        self._settle(lambda entry: entry.is_counted and entry.person == person)
        self.used.pop(person, None)

    def reset_all(self) -> None:
        """Forget the side of all people, and that an earlier state could not be read."""
        self._settle(lambda entry: True)
        self.people.clear()
        self.counted.clear()
        self.is_known = True

    def set_count(self, zone: str, people: int) -> None:
        """Set the number of people inside a zone; the next passage of each person counts."""
        self._settle(lambda entry: entry.zone == zone)
        self.counts[zone] = people
        self.counted.pop(zone, None)

    def commit_lost(self, lanes: frozenset[str]) -> None:
        """Count grants at lanes that no door has as inside."""
        for entry in [each for each in self.pending if each.lane not in lanes]:
            self.pending.remove(entry)
            self.commit_unknown(entry)

    # ---------------------------------------------------------------- parts

    def _settle(self, is_meant: Callable[[PendingPassage], bool]) -> None:
        """Count pending passages as inside; their door takes its grants back when it reads this."""
        for entry in [each for each in self.pending if is_meant(each)]:
            self.pending.remove(entry)
            self.commit_unknown(entry)
            self.settled.append(entry)

    def _take_settled(self, entry: PendingPassage) -> bool:
        """Return True if a reset at another door has counted a grant; it is then done."""
        if entry not in self.settled:
            return False
        self.settled.remove(entry)
        return True

    def _set(self, entry: PendingPassage, wall_s: float | None, *, is_inside: bool) -> None:
        """Note the side of a person; beyond `PRESENCES_MAX` the oldest passage is forgotten."""
        if entry.zone is None:
            return
        people = self.people.setdefault(entry.zone, {})
        people.pop(entry.person, None)  # the newest passage is the last one
        people[entry.person] = Presence(is_inside=is_inside, wall_s=wall_s)
        self.counted.setdefault(entry.zone, set()).add(entry.person)
        if len(people) > PRESENCES_MAX:
            oldest = next(iter(people))
            del people[oldest]
            self.counted.get(entry.zone, set()).discard(oldest)

    def _count(self, entry: PendingPassage) -> None:
        """Count a passage unless the person is known to be on this side already."""
        if entry.zone is None:
            return
        presence = self.presence_of(entry.person, entry.zone)
        is_known = entry.person in self.counted.get(entry.zone, ())
        if is_known and presence is not None and presence.is_inside == entry.is_entry:
            return
        number = self.count_of(entry.zone) + (1 if entry.is_entry else -1)
        self.counts[entry.zone] = max(0, number)

    def _use(self, entry: PendingPassage) -> None:
        if entry.is_counted:
            self.used[entry.person] = self.used.get(entry.person, 0) + 1
