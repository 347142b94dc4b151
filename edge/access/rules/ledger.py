"""State of the zones in memory: the content that all doors share, and the grants of this door."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from edge.access.rules.content import ZoneContent
from edge.access.rules.state import PendingPassage, Presence

_UNSAVED_MAX = 10_000  # changes that wait for a disk or lock; beyond it the oldest one is dropped

_Change = Callable[[ZoneContent], None]


@dataclass(frozen=True, slots=True)
class _Grant:
    """Grant that waits for its passage."""

    entry: PendingPassage
    ends_at: float = math.inf  # monotonic seconds; without a passage until then it is void


class ZoneLedger:
    """State of the zones as one door process sees it.

    Grants at the lanes of other doors are those of the newest shared content; only their process
    and resets change them. Grants at lanes that no door has count as inside. Changes that are not
    on disk are kept, and applied again to newer content.

    A restart may lose reports of passages. A grant that still waits for its passage then counts
    restrictively: the person is inside, and a visit is used up.
    """

    def __init__(self, lanes: Collection[str], other_lanes: Collection[str]) -> None:
        self.revision = 0  # rises with each change
        self._lanes = frozenset(lanes)  # of this door
        self._other_lanes = frozenset(other_lanes)  # of other doors
        self._content = ZoneContent()  # `pending`: of other doors only
        self._grants: list[_Grant] = []  # oldest first
        self._unsaved: dict[int, _Change] = {}  # by revision

    def copy(self) -> ZoneLedger:
        """Return a copy that changes apart from this ledger."""
        other = ZoneLedger(self._lanes, self._other_lanes)
        other.revision = self.revision
        other._content = self._content.copy()
        other._grants = list(self._grants)
        return other

    # ---------------------------------------------------------------- shared content

    @property
    def content(self) -> ZoneContent:
        """Shared content with the grants of this door; copy it to keep it."""
        entries = [grant.entry for grant in self._grants]
        return replace(self._content, pending=[*self._content.pending, *entries])

    def load(self, content: ZoneContent) -> None:
        """Take the content of an earlier run; its grants at the lanes of this door are over."""
        known = [each for each in content.pending if each.lane in self._other_lanes]
        lost = [each for each in content.pending if each.lane not in self._other_lanes]
        self._content, self._grants = replace(content, pending=known), []
        for entry in lost:
            self._restore(entry)
        self._drop_settled()

    def refresh(self, content: ZoneContent) -> bool:
        """Take newer content that another door saved, and apply what is not saved yet.

        Return False if the content lacks grants of this door.
        """
        others = [each for each in content.pending if each.lane not in self._lanes]
        own = [each for each in content.pending if each.lane in self._lanes]
        self._content = replace(content, pending=others)
        for change in self._unsaved.values():
            change(self._content)
        self._drop_settled()
        lanes = self._other_lanes
        if any(each.lane not in lanes for each in self._content.pending):
            self._change(lambda content: content.commit_lost(lanes))
        return own == [grant.entry for grant in self._grants]

    def mark_saved(self, first: int, last: int) -> None:
        """Note that the changes of some revisions are on disk."""
        for revision in [each for each in self._unsaved if first <= each <= last]:
            del self._unsaved[revision]

    # ---------------------------------------------------------------- questions

    @property
    def is_known(self) -> bool:
        """False if an earlier state could not be read, until `reset_all`."""
        return self._content.is_known

    def presence_of(self, person: str, zone: str) -> Presence | None:
        """Return the side of a person; None if it is unknown."""
        return self._content.presence_of(person, zone)

    def has_person(self, person: str) -> bool:
        """Return True if a reset of a person would change something."""
        own = any(grant.entry.person == person for grant in self._grants)
        return own or self._content.has_person(person)

    def count_of(self, zone: str) -> int:
        """Return the number of people inside."""
        return self._content.count_of(zone)

    def uses_of(self, person: str) -> int:
        """Return the number of visits of a person, with those granted and not begun."""
        granted = sum(each.is_counted and each.person == person for each in self._pending())
        return self._content.used.get(person, 0) + granted

    def is_pending(self, person: str, zone: str) -> bool:
        """Return True if a grant of a person waits for its passage at a lane of a zone."""
        return any(each.person == person and each.zone == zone for each in self._pending())

    def pending_entries(self, zone: str) -> int:
        """Return how many people have a grant to enter a zone and have not passed."""
        return sum(each.is_entry and each.zone == zone for each in self._pending())

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
        """Count a passage of a person at a time, None if the clock is not trusted."""
        self._change(lambda content: content.commit(entry, wall_s))

    def count_unknown(self, zone: str, *, is_entry: bool) -> None:
        """Count a passage of an unknown person."""
        self._change(lambda content: content.count_unknown(zone, is_entry=is_entry))

    # ---------------------------------------------------------------- resets

    def reset_person(self, person: str) -> None:
        """Forget the side of a person in all zones."""
        self._change(lambda content: content.reset_person(person))

    def reset_uses(self, person: str) -> None:
        """Count the visits of a person from zero."""
        self._change(lambda content: content.reset_uses(person))

    def erase_person(self, person: str) -> None:
        """Erase a person who was removed."""
        self._change(lambda content: content.erase_person(person))

    def reset_all(self) -> None:
        """Forget the side of all people, and that an earlier state could not be read."""
        self._change(lambda content: content.reset_all())

    def set_count(self, zone: str, people: int) -> None:
        """Set the number of people inside a zone; the next passage of each person counts."""
        self._change(lambda content: content.set_count(zone, people))

    # ---------------------------------------------------------------- parts

    def _pending(self) -> list[PendingPassage]:
        """Return the grants of all doors."""
        return [*self._content.pending, *(grant.entry for grant in self._grants)]

    def _drop_settled(self) -> None:
        """Drop the grants of this door that a reset at another door has counted."""
        settled = [each for each in self._content.settled if each.lane in self._lanes]
        if settled:
            self._content.settled = [e for e in self._content.settled if e not in settled]
            self._grants = [each for each in self._grants if each.entry not in settled]
            self.revision += 1

    def _restore(self, entry: PendingPassage) -> None:
        self._change(lambda content: content.commit_unknown(entry))

    def _change(self, change: _Change) -> None:
        """Change the shared content; the change is kept until it is on disk."""
        change(self._content)
        self.revision += 1
        self._unsaved[self.revision] = change
        if len(self._unsaved) > _UNSAVED_MAX:
            del self._unsaved[next(iter(self._unsaved))]
