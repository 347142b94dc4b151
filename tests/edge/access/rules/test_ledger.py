"""Ledger of the zones: its revision, its bound, its form in JSON, and changes by other doors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge.access.rules.codec import ContentCodec
from edge.access.rules.content import PRESENCES_MAX, ZoneContent
from edge.access.rules.ledger import ZoneLedger
from edge.access.rules.state import PendingPassage


def entry(person: str, lane: str = "in", is_counted: bool = False) -> PendingPassage:
    """Return a passage into the zone `office`."""
    return PendingPassage(
        person=person, lane=lane, zone="office", is_entry=True, is_counted=is_counted, wall_s=1.0
    )


def make(*other_lanes: str) -> ZoneLedger:
    return ZoneLedger({"in", "right"} - set(other_lanes), other_lanes)


def read(content: ZoneContent) -> ZoneContent:
    """Return the content as another process reads it."""
    return ContentCodec().decode(ContentCodec().encode(content))


def pending(ledger: ZoneLedger) -> list[Any]:
    return [(each.person, each.lane) for each in ledger.content.pending]


def test_presences_of_a_zone_are_bounded() -> None:
    ledger = make()
    for number in range(PRESENCES_MAX):
        ledger.commit(entry(str(number)), 1.0)
    ledger.commit(entry("0"), 2.0)  # the newest passage now
    ledger.commit(entry("another"), 3.0)
    people = ledger.content.people["office"]
    assert len(people) == PRESENCES_MAX
    assert "0" in people and "another" in people and "1" not in people


def test_each_change_raises_the_revision() -> None:
    ledger = make()
    seen = [ledger.revision]
    for change in (
        lambda: ledger.add_pending(entry("Ada")),
        lambda: ledger.take_pending({"in"}),
        lambda: ledger.commit(entry("Ada"), 1.0),
        lambda: ledger.set_count("office", 4),
        lambda: ledger.reset_person("Ada"),
        ledger.reset_all,
    ):
        change()
        seen.append(ledger.revision)
    assert seen == sorted(set(seen))
    ledger.drop_void(100.0)  # nothing to drop
    assert ledger.take_pending({"in"}) is None and ledger.revision == seen[-1]


def test_state_in_json_is_read_again() -> None:
    ledger = make()
    ledger.commit(entry("Ada"), None)
    ledger.add_pending(entry("Ben"))
    assert read(ledger.content) == ledger.content


def test_unsaved_changes_apply_to_newer_content() -> None:
    left, right = make("right"), make("in")
    left.commit(entry("Ada", is_counted=True), 1.0)
    right.commit(entry("Ben", "right"), 1.0)
    right.reset_person("Ada")
    right.refresh(read(left.content))
    assert right.presence_of("Ada", "office") is None and right.count_of("office") == 1
    right.mark_saved(1, 2)
    left.mark_saved(1, 1)
    left.refresh(read(right.content))
    left.refresh(read(right.content))
    assert left.content == right.content and left.uses_of("Ada") == 1


def test_grants_of_other_doors_stay_pending() -> None:
    left, right = make("right"), make("in")
    left.add_pending(entry("Ada", is_counted=True))
    right.load(read(left.content))  # a start of the other process
    assert pending(right) == [("Ada", "in")] and right.count_of("office") == 0
    assert right.is_pending("Ada", "office") and right.pending_entries("office") == 1
    assert right.uses_of("Ada") == 1 and right.take_pending({"right"}) is None
    right.add_pending(entry("Ben", "right"))
    left.refresh(read(right.content))
    assert sorted(pending(left)) == [("Ada", "in"), ("Ben", "right")]
    left.load(read(left.content))  # a restart of this process
    assert pending(left) == [("Ben", "right")] and left.uses_of("Ada") == 1
    assert left.count_of("office") == 1 and left.presence_of("Ada", "office") is not None


RESETS: list[Callable[[ZoneLedger], None]] = [
    lambda ledger: ledger.reset_person("Ada"),
    lambda ledger: ledger.reset_uses("Ada"),
    lambda ledger: ledger.reset_all(),
    lambda ledger: ledger.set_count("office", 1),
]


@pytest.mark.parametrize("reset", RESETS)
def test_reset_settles_grants_of_a_stopped_door(reset: Callable[[ZoneLedger], None]) -> None:
    left, right = make("right"), make("in")
    left.add_pending(entry("Ada", is_counted=True))
    right.load(read(left.content))
    reset(right)
    assert not right.is_pending("Ada", "office") and right.count_of("office") == 1
    again = make("right")
    again.load(read(right.content))  # its door starts
    assert again.content.pending == again.content.settled == []
    assert again.count_of("office") == 1 and again.uses_of("Ada") == right.uses_of("Ada")


def test_reset_settles_grants_of_a_running_door() -> None:
    left, right = make("right"), make("in")
    left.add_pending(entry("Ada"))
    left.add_pending(entry("Ben"))
    right.load(read(left.content))
    right.reset_person("Ada")
    before = left.revision
    left.refresh(read(right.content))
    assert pending(left) == [("Ben", "in")] and left.revision > before
    right.refresh(read(left.content))
    assert pending(right) == [("Ben", "in")] and right.content.settled == []
    assert right.presence_of("Ada", "office") is None and right.count_of("office") == 1


def test_passage_of_a_settled_grant_counts_once() -> None:
    left, right = make("right"), make("in")
    left.add_pending(entry("Ada", is_counted=True))
    right.load(read(left.content))
    right.reset_person("Ada")
    passed = left.take_pending({"in"})  # before it has read the reset
    assert passed is not None
    left.commit(passed, 2.0)
    left.refresh(read(right.content))
    presence = left.presence_of("Ada", "office")
    assert presence is not None and presence.is_inside
    assert left.count_of("office") == 1 and left.uses_of("Ada") == 1


def test_grant_of_an_unknown_lane_counts_inside() -> None:
    left, right = make("right"), ZoneLedger({"right"}, set())
    left.add_pending(entry("Ada"))
    right.refresh(read(left.content))
    presence = right.presence_of("Ada", "office")
    assert presence is not None and presence.is_inside
    assert pending(right) == [] and right.count_of("office") == 1
