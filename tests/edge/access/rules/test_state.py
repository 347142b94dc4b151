"""State of the zones: its revision, its bound, and its form in JSON."""

from __future__ import annotations

import json

from edge.access.rules.state import (
    PRESENCES_MAX,
    PendingPassage,
    ZoneLedger,
    ZoneState,
    parse_state,
)


def entry(person: str) -> PendingPassage:
    """Return a passage into the zone `office`."""
    return PendingPassage(
        person=person, lane="in", zone="office", is_entry=True, is_counted=False, wall_s=1.0
    )


def test_presences_of_a_zone_are_bounded() -> None:
    ledger = ZoneLedger(ZoneState())
    for number in range(PRESENCES_MAX):
        ledger.commit(entry(str(number)), 1.0)
    ledger.commit(entry("0"), 2.0)  # the newest passage now
    ledger.commit(entry("another"), 3.0)
    people = ledger.as_json()["people"]["office"]
    assert len(people) == PRESENCES_MAX
    assert "0" in people and "another" in people and "1" not in people


def test_each_change_raises_the_revision() -> None:
    ledger = ZoneLedger(ZoneState())
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
    ledger = ZoneLedger(ZoneState())
    ledger.commit(entry("Ada"), None)
    ledger.add_pending(entry("Ben"))
    state = ledger.as_json()
    assert parse_state(json.loads(json.dumps(state))).model_dump() == state
