from __future__ import annotations

import pytest

from edge.demo import outcome
from edge.demo.scenario import SCENES
from tests.edge.demo.records import (
    ALARM,
    COLLINS,
    DECISIONS,
    DOOR,
    DURESS_PIN,
    EMPTY,
    FIRE,
    LOCKDOWN,
    PLAIN,
    RELEASED,
    STRANGER,
    WRONG_PIN,
    Records,
    decision,
    event,
    opening,
)


def failing(decisions: Records, door: Records) -> list[str]:
    """Return the titles of failed checks."""
    return [
        check.title
        for check in outcome.build_outcome(SCENES, decisions, door).checks
        if not check.passed
    ]


def without(*dropped: dict[str, object]) -> Records:
    return [e for e in DOOR if e not in dropped]


def test_outcome_of_expected_run_passes() -> None:
    found = outcome.build_outcome(SCENES, DECISIONS, DOOR)
    assert found.passed and failing(DECISIONS, DOOR) == []
    lines = outcome.summary(found)
    assert (
        lines.count("door opens at") == 2
        and lines.count("door asks for a card or PIN at") == 2
        and "door refuses: lockdown" in lines
        and "FAIL" not in lines
    )
    assert [span.reason for span in found.states[outcome.OPEN]] == [
        "grant",
        "grant",
        "grant",
        "grant",
        "fire",
    ]
    assert all(
        len(found.states[lane]) == 1
        for lane in (
            outcome.SILENT_ALARM,
            outcome.CONTACT,
            outcome.ALARM,
            outcome.LOCKDOWN,
            outcome.FIRE,
        )
    )


def test_outcome_other_openings_fail() -> None:
    assert failing(DECISIONS, without(*WRONG_PIN)) == ["Eileen Collins, masked", "Wrong PIN"]
    assert failing([*DECISIONS, decision(5, STRANGER)], DOOR + opening(5, STRANGER)) == [
        "Grace Hopper, not enrolled"
    ]
    assert failing(DECISIONS, without(*opening(1, PLAIN)) + opening(1, PLAIN, "Eve")) == [
        "Eileen Collins"
    ]
    assert failing([*DECISIONS, decision(5, EMPTY)], DOOR + opening(5, EMPTY - 0.5)) == ["Empty"]
    assert failing(DECISIONS, DOOR + opening(99, STRANGER)) == ["No other opening"], (
        "opened for no decision at all"
    )


def test_outcome_masked_needs_pin() -> None:
    asked, refused, opened, locked = WRONG_PIN
    assert failing(DECISIONS, without(asked)) == ["Eileen Collins, masked", "Wrong PIN"]
    assert failing(DECISIONS, without(refused)) == ["Wrong PIN"]
    assert failing(DECISIONS, without(opened, locked)) == ["Eileen Collins, masked", "Wrong PIN"]
    early = {**refused, "at": asked["at"] - 0.1}
    assert failing(DECISIONS, [*without(refused), early]) == ["Wrong PIN"]
    assert failing(DECISIONS, [*DOOR, {**refused, "at": refused["at"] + 9}]) == ["Wrong PIN"]


def test_outcome_silent_alarm_stays_silent() -> None:
    title = "Duress PIN: silent alarm"
    _, duress, opened, locked, reset = DURESS_PIN
    assert failing(DECISIONS, without(duress)) == [title]
    assert failing(DECISIONS, without(reset)) == [title]
    assert failing(DECISIONS, without(opened, locked)) == ["Eileen Collins, under duress", title]
    assert failing([*DECISIONS, {"kind": "door", "outcome": "duress"}], DOOR) == [title]


def test_the_lockdown_holds_until_it_is_released() -> None:
    asked, began, refused, released = LOCKDOWN
    granted = [*without(refused), *opening(3, refused["at"] - 500)]
    assert failing(DECISIONS, granted) == ["Lockdown: Eileen Collins", "Lockdown"]
    assert failing(DECISIONS, without(refused)) == ["Lockdown: Eileen Collins", "Lockdown"], (
        "she was not recognised"
    )
    assert failing(DECISIONS, without(asked, began)) == ["Lockdown"]
    assert failing(DECISIONS, without(released, *opening(4, RELEASED))) == [
        "Released: Eileen Collins",
        "Lockdown",
    ]


def test_one_alarm_begins_and_ends() -> None:
    _, began, _, ended = ALARM
    assert failing(DECISIONS, without(began, ended)) == ["Alarm: held open"]
    assert failing(DECISIONS, without(ended)) == ["Alarm: held open"]
    assert failing(DECISIONS, [*DOOR, event("alarm", "forced-open", EMPTY)]) == ["Alarm: held open"]


def test_outcome_fire_opens_until_reset() -> None:
    _, opened, refused, reset, locked = FIRE
    assert failing(DECISIONS, without(opened, locked)) == [
        "Fire opens, until reset",
        "No other opening",
    ]
    early = {**locked, "at": refused["at"]}
    assert failing(DECISIONS, [*without(locked), early]) == ["Fire opens, until reset"]
    assert failing(DECISIONS, without(refused)) == ["Reset during fire"]
    assert failing(DECISIONS, without(reset)) == ["Fire opens, until reset"]
    assert failing(DECISIONS, without(locked)) == ["Locked at the end"]


def test_nothing_decided_is_no_story() -> None:
    with pytest.raises(ValueError, match="no decision"):
        outcome.build_outcome(SCENES, [], [])


def test_outcome_idle_door_is_reported() -> None:
    found = outcome.build_outcome(SCENES, DECISIONS, [])
    assert (
        not found.passed
        and f"{COLLINS:28}" in outcome.summary(found)
        and "never" in outcome.summary(found)
    )
