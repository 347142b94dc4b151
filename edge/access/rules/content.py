"""People inside, their number, used visits and pending passages of all zones of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.access.rules.state import PendingPassage, Presence, ZoneState

PRESENCES_MAX = 50_000  # people of a zone whose side is known

_FORGOTTEN = Presence(is_inside=None, wall_s=None)


@dataclass(slots=True)
class ZoneContent:
    """State that the doors of a terminal share. All changes of people are made here."""

    is_known: bool = True  # False: an earlier state could not be read
    people: dict[str, dict[str, Presence]] = field(default_factory=dict)  # by zone and person
    counted: dict[str, set[str]] = field(default_factory=dict)  # the number agrees with `is_inside`
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
        presence = self.people.get(zone, {}).get(person, _FORGOTTEN)
        return None if presence.is_inside is None else presence

    def has_person(self, person: str) -> bool:
        """Return True if the side of a person is known in a zone, or a passage is pending."""
        return any(self.presence_of(person, zone) for zone in self.people) or any(
            entry.person == person for entry in self.pending
        )

    def count_of(self, zone: str) -> int:
        """Return the number of people inside."""
        return self.counts.get(zone, 0)

    def inside(self, zone: str) -> set[str]:
        """Return the people that the number has by name; it may have others."""
        people = self.people.get(zone, {})
        return {person for person in self.counted.get(zone, ()) if people[person].is_inside}

    # ---------------------------------------------------------------- passages

    def commit(self, entry: PendingPassage, wall_s: float | None) -> None:
        """Count a passage of a person at a time, None if the clock is not trusted.

        The number of people stays if it agrees with the passage. A visit is always used.
        """
        is_settled = self._take_settled(entry)
        presence = Presence(is_inside=entry.is_entry, wall_s=wall_s)
        self._move(entry, presence, is_counted=not (is_settled and entry.is_entry))
        if not is_settled:
            self._use(entry)

    def commit_unknown(self, entry: PendingPassage) -> None:
        """Count a grant whose passage is unknown: the person is inside."""
        if self._take_settled(entry):
            return
        presence = Presence(is_inside=True, wall_s=entry.wall_s)
        self._move(entry, presence, is_counted=entry.is_entry)
        self._use(entry)

    def count_unknown(self, zone: str, *, is_entry: bool) -> None:
        """Count a passage of an unknown person; the number never falls below zero.

        The person may be any of those outside (entry) or inside (exit): their next passage counts.
        """
        inside = self.inside(zone)
        self._add(zone, 1 if is_entry else -1)
        self.counted[zone] = inside if is_entry else self.counted.get(zone, set()) - inside

    # ---------------------------------------------------------------- resets

    # The door of a pending passage may not run: a reset counts its grant as inside first.

    def reset_person(self, person: str) -> None:
        """Forget the side of a person in all zones; the person is not in their numbers any more."""
        settled = self._settle(lambda entry: entry.person == person)
        for zone in self.people:
            self._forget(person, zone)
        self._count_unnamed(settled)

    def reset_uses(self, person: str) -> None:
        """Count the visits of a person from zero."""
        self._settle(lambda entry: entry.is_counted and entry.person == person)
        self.used.pop(person, None)

    def erase_person(self, person: str) -> None:
        """Erase a person who was removed: side, visits and number, as after both resets."""
        self.reset_person(person)
        self.reset_uses(person)
        for zone, people in self.people.items():
            people.pop(person, None)
            self.counted.get(zone, set()).discard(person)

    def reset_all(self) -> None:
        """Forget the side of all people, and that an earlier state could not be read.

        The numbers are then of people who are not known by name.
        """
        settled = self._settle(lambda entry: True)
        for zone, people in self.people.items():
            for person in list(people):
                self._forget(person, zone)
        self._count_unnamed(settled)
        self.is_known = True

    def set_count(self, zone: str, people: int) -> None:
        """Set the number of people inside a zone.

        It has those who are inside by name, unless they are more. The next passage of each other
        person counts.
        """
        self._settle(lambda entry: entry.zone == zone)
        inside = self.inside(zone)
        self.counts[zone] = people
        self.counted[zone] = inside if len(inside) <= people else set()

    def commit_lost(self, lanes: frozenset[str]) -> None:
        """Count grants at lanes that no door has as inside."""
        for entry in [each for each in self.pending if each.lane not in lanes]:
            self.pending.remove(entry)
            self.commit_unknown(entry)

    # ---------------------------------------------------------------- parts

    def _settle(self, is_meant: Callable[[PendingPassage], bool]) -> list[PendingPassage]:
        """Count pending passages as inside; their door takes its grants back when it reads this."""
        settled = [each for each in self.pending if is_meant(each)]
        for entry in settled:
            self.pending.remove(entry)
            self.commit_unknown(entry)
            self.settled.append(entry)
        return settled

    def _take_settled(self, entry: PendingPassage) -> bool:
        """Return True if a reset at another door has counted a grant; it is then done."""
        if entry not in self.settled:
            return False
        self.settled.remove(entry)
        return True

    def _move(self, entry: PendingPassage, presence: Presence, *, is_counted: bool) -> None:
        """Note the side of a person; beyond `PRESENCES_MAX` the oldest passage is forgotten.

        If the passage is not counted, the number may have the person or not.
        """
        if entry.zone is None:
            return
        is_known = is_counted or self._is_counted(entry.person, entry.zone, is_inside=True)
        if is_counted:
            self._count(entry.person, entry.zone, is_entry=entry.is_entry)
        people = self.people.setdefault(entry.zone, {})
        counted = self.counted.setdefault(entry.zone, set())
        people.pop(entry.person, None)  # the newest passage is the last one
        people[entry.person] = presence
        (counted.add if is_known else counted.discard)(entry.person)
        if len(people) > PRESENCES_MAX:
            oldest = next(iter(people))
            del people[oldest]
            counted.discard(oldest)

    def _forget(self, person: str, zone: str) -> None:
        """Forget the side of a person, and take the person out of the number.

        That the number lacks them stays known: their exit must not count.
        """
        if self._is_counted(person, zone, is_inside=True):
            self._add(zone, -1)
        if person in self.counted.get(zone, ()):
            self.people[zone][person] = _FORGOTTEN
        else:
            self.people[zone].pop(person, None)

    def _count_unnamed(self, entries: list[PendingPassage]) -> None:
        """Count entries of people whose side is forgotten: they are still on their way."""
        for person, zone in {(each.person, each.zone) for each in entries if each.is_entry}:
            if zone is not None:
                self._add(zone, 1)
                self.people[zone].pop(person, None)
                self.counted[zone].discard(person)

    def _count(self, person: str, zone: str, *, is_entry: bool) -> None:
        """Count a passage unless the number agrees with it; it keeps the people inside by name."""
        if self._is_counted(person, zone, is_inside=is_entry):
            return
        if is_entry or self._is_counted(person, zone, is_inside=True):
            self._add(zone, 1 if is_entry else -1)
        elif self.count_of(zone) > len(self.inside(zone)):
            self._add(zone, -1)

    def _is_counted(self, person: str, zone: str, *, is_inside: bool) -> bool:
        """Return True if the number is known to have a person (`is_inside`), or to lack them."""
        is_known = person in self.counted.get(zone, ())
        return is_known and bool(self.people[zone][person].is_inside) == is_inside

    def _add(self, zone: str, people: int) -> None:
        self.counts[zone] = max(0, self.count_of(zone) + people)

    def _use(self, entry: PendingPassage) -> None:
        if entry.is_counted:
            self.used[entry.person] = self.used.get(entry.person, 0) + 1
