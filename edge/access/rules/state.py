"""State of the zones: people inside, their number, used visits, pending passages."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from edge.frozen_model import FrozenModel
from edge.names import NAME_MAX

Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
Count = Annotated[int, Field(ge=0)]
PRESENCES_MAX = 50_000  # people of a zone whose side is known
UnixSeconds = Annotated[float, Field(allow_inf_nan=False)]


class StrictModel(FrozenModel):
    """Accepts no value of another type, such as text for a number."""

    model_config = ConfigDict(strict=True)


class Presence(StrictModel):
    """Side of a person after the last passage."""

    is_inside: bool
    wall_s: UnixSeconds | None  # time of the passage; None: the clock was not trusted
    is_counted: bool = True  # the number of people agrees with this side


class PendingPassage(StrictModel):
    """Grant whose passage has not been reported."""

    person: Name
    lane: Name
    zone: Name | None
    is_entry: bool
    is_counted: bool  # uses up a visit
    wall_s: UnixSeconds | None  # time of the grant; None: the clock was not trusted


class ZoneState(StrictModel):
    """Everything that survives a restart, as a JSON value."""

    version: Literal[1] = 1
    is_known: bool = True  # False: an earlier state could not be read
    people: dict[Name, dict[Name, Presence]] = Field(default_factory=dict)  # by zone and person
    counts: dict[Name, Count] = Field(default_factory=dict)  # people inside, by zone
    used: dict[Name, Count] = Field(default_factory=dict)  # visits, by person with a limit
    pending: list[PendingPassage] = Field(default_factory=list)


def parse_state(value: object) -> ZoneState:
    """Return the state of a JSON value. Raises ValueError for invalid content."""
    try:
        return ZoneState.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "state"
        raise ValueError(f"zone state: {place}: {first['msg']}") from error


@dataclass(frozen=True, slots=True)
class _Grant:
    """Grant that waits for its passage."""

    entry: PendingPassage
    ends_at: float = math.inf  # monotonic seconds; without a passage until then it is void


class ZoneLedger:
    """State of the zones in memory. All changes are made here.

    A restart may lose reports of passages. A grant that still waits for its passage then counts
    restrictively: the person is inside, and a visit is used up.
    """

    def __init__(self, state: ZoneState) -> None:
        self.is_known = state.is_known
        self.revision = 0  # rises with each change
        self._people = {zone: dict(people) for zone, people in state.people.items()}
        self._counted = {  # people whose side the number of people agrees with
            zone: {person for person, presence in people.items() if presence.is_counted}
            for zone, people in state.people.items()
        }
        self._counts, self._used = dict(state.counts), dict(state.used)
        self._grants: list[_Grant] = []  # oldest first
        for entry in state.pending:
            self._restore(entry)

    def copy(self) -> ZoneLedger:
        """Return a copy that changes apart from this ledger."""
        other = ZoneLedger(ZoneState(is_known=self.is_known))
        other._people = {zone: dict(people) for zone, people in self._people.items()}
        other._counted = {zone: set(people) for zone, people in self._counted.items()}
        other._counts, other._used = dict(self._counts), dict(self._used)
        other._grants = list(self._grants)
        other.revision = self.revision
        return other

    # ---------------------------------------------------------------- questions

    def as_json(self) -> dict[str, Any]:
        """Return the state as `ZoneState` in JSON; without its checks, for thousands of people."""
        return {
            "version": 1,
            "is_known": self.is_known,
            "people": {
                zone: {
                    person: {
                        "is_inside": presence.is_inside,
                        "wall_s": presence.wall_s,
                        "is_counted": person in self._counted.get(zone, ()),
                    }
                    for person, presence in people.items()
                }
                for zone, people in self._people.items()
            },
            "counts": dict(self._counts),
            "used": dict(self._used),
            "pending": [grant.entry.model_dump() for grant in self._grants],
        }

    def presence_of(self, person: str, zone: str) -> Presence | None:
        """Return the side of a person; None if it is unknown."""
        return self._people.get(zone, {}).get(person)

    def count_of(self, zone: str) -> int:
        """Return the number of people inside."""
        return self._counts.get(zone, 0)

    def uses_of(self, person: str) -> int:
        """Return the number of visits of a person, with those granted and not begun."""
        granted = sum(
            each.entry.is_counted and each.entry.person == person for each in self._grants
        )
        return self._used.get(person, 0) + granted

    def is_pending(self, person: str, zone: str) -> bool:
        """Return True if a grant of a person waits for its passage at a lane of a zone."""
        return any(each.entry.person == person and each.entry.zone == zone for each in self._grants)

    def pending_entries(self, zone: str) -> int:
        """Return how many people have a grant to enter a zone and have not passed."""
        return sum(each.entry.is_entry and each.entry.zone == zone for each in self._grants)

    # ---------------------------------------------------------------- grants and passages

    def add_pending(self, entry: PendingPassage) -> None:
        """Note a grant; it replaces an earlier one of the same person at the same lane."""
        kept = [
            each
            for each in self._grants
            if (each.entry.person, each.entry.lane) != (entry.person, entry.lane)
        ]
        self._grants = [*kept, _Grant(entry)]
        self.revision += 1

    def take_pending(self, lanes: Collection[str]) -> PendingPassage | None:
        """Return and remove the oldest grant of some lanes."""
        for grant in self._grants:
            if grant.entry.lane in lanes:
                self._grants.remove(grant)
                self.revision += 1
                return grant.entry
        return None

    def take_current(self, lanes: Collection[str]) -> list[PendingPassage]:
        """Return and remove all grants of some lanes that have no end yet, else all of them."""
        found = [each for each in self._grants if each.entry.lane in lanes]
        found = [each for each in found if each.ends_at == math.inf] or found
        self._grants = [each for each in self._grants if each not in found]
        self.revision += len(found)
        return [each.entry for each in found]

    def has_current(self, lanes: Collection[str]) -> bool:
        """Return True if a grant of some lanes has no end yet."""
        return any(each.entry.lane in lanes and each.ends_at == math.inf for each in self._grants)

    def end_pending(self, lane: str, ends_at: float) -> None:
        """Let the grants of a lane become void at a time, unless that is set already."""
        self._grants = [
            replace(each, ends_at=min(each.ends_at, ends_at)) if each.entry.lane == lane else each
            for each in self._grants
        ]

    def drop_void(self, at: float) -> None:
        """Drop the grants that ended without a passage before a time."""
        kept = [each for each in self._grants if at <= each.ends_at]
        if len(kept) < len(self._grants):
            self._grants = kept
            self.revision += 1

    def commit(self, entry: PendingPassage, wall_s: float | None) -> None:
        """Count a passage of a person at a time, None if the clock is not trusted.

        The number of people stays if the person was on this side before. A visit is always used.
        """
        self._count(entry)
        self._set(entry, wall_s, is_inside=entry.is_entry)
        self._use(entry)

    def count_unknown(self, zone: str, *, is_entry: bool) -> None:
        """Count a passage of an unknown person; the number never falls below zero."""
        self.set_count(zone, max(0, self.count_of(zone) + (1 if is_entry else -1)))

    # ---------------------------------------------------------------- resets

    def reset_person(self, person: str) -> None:
        """Forget the side of a person in all zones."""
        for people in self._people.values():
            people.pop(person, None)
        self.revision += 1

    def reset_uses(self, person: str) -> None:
        """Count the visits of a person from zero."""
        self._used.pop(person, None)
        self.revision += 1

    def reset_all(self) -> None:
        """Forget the side of all people, and that an earlier state could not be read."""
        self._people.clear()
        self._counted.clear()
        self.is_known = True
        self.revision += 1

    def set_count(self, zone: str, people: int) -> None:
        """Set the number of people inside a zone; the next passage of each person counts."""
        self._counts[zone] = people
        self._counted.pop(zone, None)
        self.revision += 1

    # ---------------------------------------------------------------- parts

    def _set(self, entry: PendingPassage, wall_s: float | None, *, is_inside: bool) -> None:
        """Note the side of a person; beyond `PRESENCES_MAX` the oldest passage is forgotten."""
        if entry.zone is None:
            return
        people = self._people.setdefault(entry.zone, {})
        people.pop(entry.person, None)  # the newest passage is the last one
        people[entry.person] = Presence(is_inside=is_inside, wall_s=wall_s)
        self._counted.setdefault(entry.zone, set()).add(entry.person)
        if len(people) > PRESENCES_MAX:
            oldest = next(iter(people))
            del people[oldest]
            self._counted.get(entry.zone, set()).discard(oldest)
        self.revision += 1

    def _count(self, entry: PendingPassage) -> None:
        """Count a passage unless the person is known to be on this side already."""
        if entry.zone is None:
            return
        presence = self.presence_of(entry.person, entry.zone)
        is_known = entry.person in self._counted.get(entry.zone, ())
        if is_known and presence is not None and presence.is_inside == entry.is_entry:
            return
        number = self.count_of(entry.zone) + (1 if entry.is_entry else -1)
        self._counts[entry.zone] = max(0, number)
        self.revision += 1

    def _use(self, entry: PendingPassage) -> None:
        if entry.is_counted:
            self._used[entry.person] = self._used.get(entry.person, 0) + 1
            self.revision += 1

    def _restore(self, entry: PendingPassage) -> None:
        """Count a grant whose passage is unknown: the person is inside."""
        if entry.is_entry:
            self._count(entry)
        self._set(entry, entry.wall_s, is_inside=True)
        self._use(entry)
