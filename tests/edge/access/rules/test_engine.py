from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from edge.access.rules.codec import ContentCodec
from edge.access.rules.codes import RuleRefusal
from edge.access.rules.engine import RulesEngine
from edge.access.rules.settings import AccessRules, build_access_rules
from edge.access.rules.state import parse_state
from edge.access.rules.values import (
    Allowed,
    AuthMode,
    DoorStatus,
    Factor,
    Moment,
    Refused,
    RuleOutcome,
    RulePerson,
    Waiting,
)
from edge.access.schedule import ScheduledMode
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from tests.rules.world import with_doors

NOON = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)  # a Monday
ADA = RulePerson("Ada", frozenset({"staff"}))
BEN = RulePerson("Ben", frozenset({"guards"}))
LOCKED = {"lab": DoorStatus(False, False), "yard": DoorStatus(False, False)}
LAB = [
    {"name": "in", "zone": "lab"},
    {"name": "out", "zone": "lab", "direction": "out", "hardware_egress": True},
]
CONTACT = {"kind": "file", "path": "/contact"}


def build(contact: bool = False, **access: Any) -> AccessRules:
    inputs = {"contact": CONTACT} if contact else {}
    door = DoorConfig.model_validate({"inputs": inputs, "schedule": {"time_zone": "UTC"}})
    rules = build_access_rules(AccessConfig.model_validate(access), door)
    return with_doors(rules, {"in": "lab", "out": "lab", "a": "lab", "b": "yard"})


class Terminal:
    """Engine with a clock."""

    def __init__(self, contact: bool = False, **access: Any) -> None:
        self.rules = build(contact, **access)
        self.engine = RulesEngine(self.rules)
        self.at, self.wall, self.trusted = 100.0, NOON, True
        self.doors = dict(LOCKED)

    @property
    def moment(self) -> Moment:
        return Moment(self.at, self.wall, self.trusted)

    def wait(self, seconds: float) -> None:
        self.at += seconds
        self.wall += timedelta(seconds=seconds)

    def show(self, lane: str, factor: Factor, person: RulePerson, masked: bool = False) -> str:
        """Return `allowed`, the refusal, or what is missing."""
        outcome = self.present(lane, factor, person, masked)
        if isinstance(outcome, Waiting):
            missing = sorted(each.value for each in outcome.missing)
            return f"waiting for {' or '.join(missing) or 'a second person'}"
        return "allowed" if isinstance(outcome, Allowed) else outcome.reason.value

    def present(
        self, lane: str, factor: Factor, person: RulePerson, masked: bool = False
    ) -> RuleOutcome:
        return self.engine.present(lane, factor, person, self.moment, self.doors, masked=masked)

    def grant(self, lane: str, person: RulePerson = ADA) -> Allowed:
        """Grant a person whose face is enough."""
        outcome = self.present(lane, Factor.FACE, person)
        assert isinstance(outcome, Allowed)
        self.engine.granted(outcome, self.moment, self.doors)
        return outcome

    def restart(self) -> None:
        text = ContentCodec().encode(self.engine.state(self.at))
        self.engine = RulesEngine(self.rules)
        self.engine.load(ContentCodec().decode(text))


def zone(**more: Any) -> dict[str, Any]:
    return {"zones": [{"name": "lab", **more}], "lanes": LAB}


# -------------------------------------------------------------------- modes and factors


def test_default_rules_allow_a_face() -> None:
    terminal = Terminal()
    assert terminal.show("main", Factor.FACE, ADA, masked=True) == "allowed"
    assert terminal.show("main", Factor.CARD, BEN) == "other-person"
    assert terminal.show("side", Factor.FACE, ADA) == "unknown-lane"


@pytest.mark.parametrize(
    ("mode", "second"), [("card-and-face", Factor.CARD), ("pin-and-face", Factor.PIN)]
)
def test_mode_needs_both_factors(mode: str, second: Factor) -> None:
    terminal = Terminal(mode=mode)
    assert terminal.show("main", Factor.FACE, ADA) == f"waiting for {second.value}"
    assert terminal.show("main", second, ADA) == "allowed"


def test_other_persons_factor_is_refused() -> None:
    terminal = Terminal(mode="card-and-face")
    assert terminal.show("main", Factor.CARD, ADA) == "waiting for face"
    assert terminal.show("main", Factor.FACE, BEN) == "other-person"
    assert terminal.show("main", Factor.PIN, BEN) == "other-person"
    assert terminal.show("main", Factor.FACE, ADA) == "allowed"


def test_face_alone_gives_way_to_another() -> None:
    terminal = Terminal(mode="card-and-face")
    terminal.show("main", Factor.FACE, ADA)
    assert terminal.show("main", Factor.FACE, BEN) == "waiting for card"
    assert terminal.show("main", Factor.CARD, ADA) == "other-person"  # never completes it
    assert terminal.show("main", Factor.CARD, ADA) == "waiting for face"


@pytest.mark.parametrize(("seconds", "expected"), [(15.0, "allowed"), (15.1, "waiting for card")])
def test_factors_count_within_window(seconds: float, expected: str) -> None:
    terminal = Terminal(mode="card-and-face", factor_window_s=15)
    terminal.show("main", Factor.CARD, ADA)
    terminal.wait(seconds)
    assert terminal.show("main", Factor.FACE, ADA) == expected


def test_cancelled_grant_ends_its_request() -> None:
    terminal = Terminal(mode="card-and-face")
    terminal.show("main", Factor.CARD, ADA)
    terminal.wait(9.0)
    outcome = terminal.present("main", Factor.FACE, ADA)
    assert isinstance(outcome, Allowed)
    terminal.engine.cancelled(outcome)
    assert terminal.show("main", Factor.FACE, ADA) == "waiting for card"


def test_factor_from_the_future_does_not_count() -> None:
    terminal = Terminal(mode="card-and-face")
    terminal.show("main", Factor.CARD, ADA)
    terminal.at -= 1
    assert terminal.show("main", Factor.FACE, ADA) == "waiting for card"


@pytest.mark.parametrize("second", [Factor.CARD, Factor.PIN])
def test_masked_face_needs_second_factor(second: Factor) -> None:
    terminal = Terminal(masked="require-second-factor")
    assert terminal.show("main", Factor.FACE, ADA, masked=True) == "waiting for card or pin"
    assert terminal.show("main", second, ADA) == "allowed"
    assert terminal.show("main", Factor.FACE, ADA) == "allowed"  # without the mask


NIGHT = {"days": ["mon-fri"], "begin": "20:00", "end": "06:00", "mode": "pin-and-face"}


def test_mode_follows_schedule() -> None:
    terminal = Terminal(spans=[NIGHT])
    assert terminal.show("main", Factor.FACE, ADA) == "allowed"
    terminal.wall += timedelta(hours=9)
    assert terminal.show("main", Factor.FACE, ADA) == "waiting for pin"


def test_mode_is_strictest_without_trusted_clock() -> None:
    terminal = Terminal(spans=[{**NIGHT, "fallback": ["card"]}])
    terminal.trusted = False
    assert terminal.show("main", Factor.FACE, ADA) == "waiting for pin"
    terminal.wall += timedelta(hours=9)
    assert terminal.show("main", Factor.CARD, ADA) == "waiting for pin"


def test_fallback_needs_its_span() -> None:
    terminal = Terminal(spans=[{**NIGHT, "mode": None, "fallback": ["card"]}])
    finn = RulePerson("Finn", mode=AuthMode.CARD)
    assert terminal.show("main", Factor.CARD, finn) == "fallback-not-allowed"
    terminal.wall += timedelta(hours=9)
    assert terminal.show("main", Factor.CARD, finn) == "allowed"


def test_person_mode_replaces_fallback() -> None:
    terminal = Terminal(spans=[{**NIGHT, "fallback": ["card"]}])
    terminal.wall += timedelta(hours=9)
    eva = RulePerson("Eva", mode=AuthMode.CARD_AND_FACE)
    assert terminal.show("main", Factor.CARD, eva) == "waiting for face"
    assert terminal.show("main", Factor.FACE, eva) == "allowed"


def test_duress_pin_allows_and_is_flagged() -> None:
    terminal = Terminal(mode="pin-and-face")
    first = terminal.present("main", Factor.DURESS_PIN, ADA)
    second = terminal.present("main", Factor.FACE, ADA)
    assert isinstance(first, Waiting) and isinstance(second, Allowed)
    assert first.duress and second.duress
    assert not any("duress" in code.sentence for code in RuleRefusal)


def test_duress_stays_after_normal_pin() -> None:
    terminal = Terminal(mode="pin-and-face")
    terminal.present("main", Factor.DURESS_PIN, ADA)
    terminal.present("main", Factor.PIN, ADA)
    outcome = terminal.present("main", Factor.FACE, ADA)
    assert isinstance(outcome, Allowed) and outcome.duress


def test_duress_is_flagged_on_refusal() -> None:
    terminal = Terminal(mode="pin-and-face", lanes=[{"name": "main", "groups": ["guards"]}])
    terminal.present("main", Factor.DURESS_PIN, ADA)
    outcome = terminal.present("main", Factor.FACE, ADA)
    assert outcome == Refused("main", RuleRefusal.NOT_IN_GROUP, duress=True)


# -------------------------------------------------------------------- rights


@pytest.mark.parametrize(
    ("begin", "end", "trusted", "expected"),
    [
        (date(2026, 5, 4), date(2026, 5, 4), True, "allowed"),
        (date(2026, 5, 5), None, True, "not-valid-today"),
        (None, date(2026, 5, 3), True, "not-valid-today"),
        (None, date(2026, 5, 30), False, "clock-untrusted"),
    ],
)
def test_validity_days_of_a_person(
    begin: date | None, end: date | None, trusted: bool, expected: str
) -> None:
    terminal = Terminal()
    terminal.trusted = trusted
    guest = RulePerson("Guest", valid_from=begin, valid_until=end)
    assert terminal.show("main", Factor.FACE, guest) == expected


def test_visits_are_used_up_over_restart() -> None:
    terminal = Terminal()
    guest = RulePerson("Guest", max_uses=2)
    terminal.grant("main", guest)
    terminal.restart()
    terminal.grant("main", guest)
    assert terminal.show("main", Factor.FACE, guest) == "used-up"
    terminal.engine.reset_uses("Guest")
    assert terminal.show("main", Factor.FACE, guest) == "allowed"


def test_visit_without_passage_is_not_used() -> None:
    terminal = Terminal(contact=True)
    guest = RulePerson("Guest", max_uses=1)
    terminal.grant("main", guest)
    assert terminal.show("main", Factor.FACE, guest) == "used-up"
    terminal.engine.relocked("main", terminal.at)
    terminal.wait(2.1)
    assert terminal.show("main", Factor.FACE, guest) == "allowed"


# -------------------------------------------------------------------- anti-passback


def test_hard_anti_passback_refuses() -> None:
    terminal = Terminal(**zone(anti_passback="hard"))
    terminal.grant("in")
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"
    terminal.grant("out")
    assert terminal.show("out", Factor.FACE, ADA) == "not-inside"
    exempt = RulePerson("Ada", anti_passback_exempt=True)
    assert terminal.show("out", Factor.FACE, exempt) == "allowed"


def test_soft_anti_passback_is_noted() -> None:
    terminal = Terminal(**zone(anti_passback="soft"))
    assert terminal.grant("in").violations == ()
    assert terminal.grant("in").violations == (RuleRefusal.ALREADY_INSIDE,)


@pytest.mark.parametrize("lane", ["in", "out"])
def test_reset_allows_either_direction(lane: str) -> None:
    terminal = Terminal(**zone(anti_passback="hard"))
    terminal.grant("in")
    terminal.grant("in", BEN)
    terminal.engine.reset_person("Ada")
    assert terminal.show(lane, Factor.FACE, ADA) == "allowed"
    terminal.wait(20)
    assert terminal.show("in", Factor.FACE, BEN) == "already-inside"
    terminal.engine.reset_all()
    assert terminal.show(lane, Factor.FACE, BEN) == "allowed"


def test_timed_anti_passback_forgets() -> None:
    terminal = Terminal(**zone(anti_passback="hard", forget_after_s=3600))
    terminal.grant("in")
    terminal.wait(3599)
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"
    terminal.wait(1)
    assert terminal.show("in", Factor.FACE, ADA) == "allowed"


@pytest.mark.parametrize("at_passage", [True, False])
def test_untrusted_clock_forgets_nothing(at_passage: bool) -> None:
    terminal = Terminal(**zone(anti_passback="hard", forget_after_s=3600))
    terminal.trusted = not at_passage
    terminal.grant("in")
    terminal.trusted = at_passage
    terminal.wait(7200)
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"


def test_passage_commits_with_contact() -> None:
    terminal = Terminal(contact=True, **zone(anti_passback="hard", max_people=5))
    terminal.grant("in")
    assert terminal.show("in", Factor.FACE, ADA) == "passage-pending"
    assert terminal.engine.occupancy("lab") == 0
    assert terminal.engine.opened("lab", terminal.moment) == ("Ada",)
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"
    assert terminal.engine.occupancy("lab") == 1


def test_grant_without_passage_is_void() -> None:
    terminal = Terminal(contact=True, **zone(anti_passback="hard"))
    terminal.grant("in")
    terminal.engine.relocked("lab", terminal.at)
    terminal.wait(2.1)
    assert terminal.engine.opened("lab", terminal.moment) == ()
    assert terminal.show("in", Factor.FACE, ADA) == "allowed"


def test_ended_grant_yields_to_a_newer_one() -> None:
    terminal = Terminal(contact=True, **zone(anti_passback="hard"))
    terminal.grant("in")
    terminal.engine.relocked("lab", terminal.at)
    terminal.grant("in", BEN)
    assert terminal.engine.opened("lab", terminal.moment) == ("Ben",)
    assert terminal.engine.opened("lab", terminal.moment) == ("Ada",)  # within the grace


def test_grant_at_open_door_commits_at_once() -> None:
    terminal = Terminal(contact=True, **zone(anti_passback="hard"))
    terminal.doors["lab"] = DoorStatus(True, True)
    terminal.grant("in")
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"


def test_decision_alone_changes_nothing() -> None:
    terminal = Terminal(**zone(anti_passback="hard", max_people=1))
    before = terminal.engine.state(terminal.at)
    outcome = terminal.present("in", Factor.FACE, ADA)
    assert isinstance(outcome, Allowed)
    planned = terminal.engine.state_if_granted(outcome, terminal.moment, terminal.doors)
    assert terminal.engine.state(terminal.at) == before != planned
    assert terminal.show("in", Factor.FACE, ADA) == "allowed"
    terminal.engine.granted(outcome, terminal.moment, terminal.doors)
    assert terminal.engine.state(terminal.at) == planned


def test_power_cut_after_grant_counts_as_inside() -> None:
    terminal = Terminal(contact=True, **zone(anti_passback="hard", max_people=5))
    terminal.grant("in")
    terminal.restart()
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"
    terminal.grant("out")
    terminal.restart()  # it is not known whether Ada left
    assert terminal.show("in", Factor.FACE, ADA) == "already-inside"
    assert terminal.engine.occupancy("lab") == 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"version": 2},
        {"counts": {"lab": -1}},
        {"counts": {"lab": True}},
        {"used": {"Ada": "1"}},
        {"people": {"lab": {"Ada": {"is_inside": 1, "wall_s": None}}}},
        {"people": {"lab": {"Ada": {"is_inside": True, "wall_s": float("nan")}}}},
        {"unknown": 1},
    ],
)
def test_invalid_state_refuses_entries(value: object) -> None:
    terminal = Terminal(**zone(anti_passback="hard"))
    with pytest.raises(ValueError, match=r"^zone state: "):
        parse_state(value)
    terminal.engine.invalidate()
    assert not terminal.engine.is_state_known
    assert terminal.show("in", Factor.FACE, ADA) == "zone-state-unknown"
    terminal.restart()
    assert terminal.show("in", Factor.FACE, ADA) == "zone-state-unknown"
    assert terminal.show("out", Factor.FACE, ADA) == "allowed"
    terminal.engine.reset_all()
    assert terminal.show("in", Factor.FACE, ADA) == "allowed" and terminal.engine.is_state_known


# -------------------------------------------------------------------- occupancy and passages


def test_full_zone_refuses_entry_never_exit() -> None:
    terminal = Terminal(**zone(max_people=1))
    terminal.grant("in")
    assert terminal.show("in", Factor.FACE, BEN) == "zone-full"
    terminal.grant("out")
    assert terminal.show("in", Factor.FACE, BEN) == "allowed"


def test_occupancy_is_never_negative() -> None:
    terminal = Terminal(**zone(max_people=1))
    terminal.grant("out")
    terminal.grant("out", BEN)
    assert terminal.engine.occupancy("lab") == 0
    terminal.engine.set_occupancy("lab", 1)
    assert terminal.show("in", Factor.FACE, ADA) == "zone-full"
    terminal.engine.set_occupancy("lab", 0)
    assert terminal.show("in", Factor.FACE, ADA) == "allowed"
    with pytest.raises(ValueError, match="found -1"):
        terminal.engine.set_occupancy("lab", -1)


def test_occupancy_counts_each_person_once() -> None:
    terminal = Terminal(**zone(max_people=3))
    for _ in range(3):
        terminal.grant("in")
    assert terminal.engine.occupancy("lab") == 1
    terminal.restart()
    terminal.grant("in")
    terminal.grant("in", BEN)
    assert terminal.engine.occupancy("lab") == 2
    for _ in range(2):
        terminal.grant("out")
    assert terminal.engine.occupancy("lab") == 1


def test_occupancy_set_counts_all_again() -> None:
    terminal = Terminal(**zone(max_people=3))
    terminal.grant("in")
    terminal.engine.set_occupancy("lab", 0)
    terminal.restart()
    terminal.grant("in")
    terminal.grant("in")
    assert terminal.engine.occupancy("lab") == 1


def test_occupancy_set_keeps_people_inside() -> None:
    terminal = Terminal(**zone(max_people=9))
    terminal.grant("in")
    terminal.engine.set_occupancy("lab", 2)  # Ada, and one that no one knows
    terminal.grant("in")
    assert terminal.engine.occupancy("lab") == 2
    terminal.grant("out", BEN)
    assert terminal.engine.occupancy("lab") == 1
    terminal.grant("out", RulePerson("Cleo"))  # no one else can be inside
    assert terminal.engine.occupancy("lab") == 1
    terminal.grant("out")
    assert terminal.engine.occupancy("lab") == 0


@pytest.mark.parametrize(("lane", "people"), [("in", 3), ("out", 2)])
@pytest.mark.parametrize("reset", ["reset_person", "reset_all"])
def test_reset_takes_person_out_of_number(lane: str, people: int, reset: str) -> None:
    terminal = Terminal(**zone(max_people=9))
    terminal.engine.set_occupancy("lab", 2)
    terminal.grant("in")
    assert terminal.engine.occupancy("lab") == 3
    getattr(terminal.engine, reset)(*["Ada"] if reset == "reset_person" else [])
    assert terminal.engine.occupancy("lab") == 2
    terminal.restart()
    terminal.grant(lane)
    assert terminal.engine.occupancy("lab") == people
    terminal.grant("out")
    assert terminal.engine.occupancy("lab") == 2


def test_reset_keeps_number_of_person_outside() -> None:
    terminal = Terminal(**zone(max_people=9))
    terminal.grant("in", BEN)
    terminal.grant("out")
    terminal.engine.reset_person("Ada")
    assert terminal.engine.occupancy("lab") == 1


def test_number_set_before_a_reset_stays() -> None:
    terminal = Terminal(**zone(max_people=9))
    terminal.grant("in")
    terminal.grant("in", BEN)
    terminal.engine.set_occupancy("lab", 1)  # fewer than are known: any of them has left
    terminal.engine.reset_person("Ada")
    assert terminal.engine.occupancy("lab") == 1
    terminal.grant("in")
    assert terminal.engine.occupancy("lab") == 2


def test_unknown_passage_counts_all_again() -> None:
    lanes = [LAB[0], {**LAB[1], "passage": "sensor"}]
    terminal = Terminal(zones=[{"name": "lab", "max_people": 3}], lanes=lanes)
    terminal.grant("in")
    terminal.engine.passed("out", terminal.moment)  # it may have been Ada
    terminal.grant("in")
    assert terminal.engine.occupancy("lab") == 1


def test_unknown_entry_keeps_people_inside() -> None:
    lanes = [{**LAB[0], "passage": "sensor"}, LAB[1]]
    terminal = Terminal(zones=[{"name": "lab", "max_people": 9}], lanes=lanes)
    terminal.grant("out", BEN)
    terminal.grant("in")
    for _ in range(2):  # Ada, and one that may be Ben
        terminal.engine.passed("in", terminal.moment)
    terminal.engine.reset_person("Ada")
    assert terminal.engine.occupancy("lab") == 1
    terminal.grant("out", BEN)
    assert terminal.engine.occupancy("lab") == 0


def test_person_on_the_way_in_counts() -> None:
    terminal = Terminal(contact=True, **zone(max_people=1))
    terminal.grant("in")
    assert terminal.show("in", Factor.FACE, BEN) == "zone-full"


def test_check_sees_an_earlier_grant() -> None:
    terminal = Terminal(**zone(max_people=1))
    outcome = terminal.present("in", Factor.FACE, ADA)
    assert isinstance(outcome, Allowed)
    terminal.grant("in", BEN)
    refusal = terminal.engine.check(outcome, terminal.moment, terminal.doors)
    assert refusal is RuleRefusal.ZONE_FULL


def test_sensor_reports_tailgating() -> None:
    lanes = [{**lane, "passage": "sensor"} for lane in LAB]
    terminal = Terminal(zones=[{"name": "lab", "max_people": 5}], lanes=lanes)
    terminal.grant("in")
    first = terminal.engine.passed("in", terminal.moment)
    second = terminal.engine.passed("in", terminal.moment)
    assert (first.person, first.is_tailgating) == ("Ada", False)
    assert (second.person, second.is_tailgating) == (None, True)
    assert terminal.engine.occupancy("lab") == 2
    assert not terminal.engine.passed("out", terminal.moment).is_tailgating
    assert terminal.engine.occupancy("lab") == 1


@pytest.mark.parametrize(("seconds", "person"), [(2.0, "Ada"), (2.1, None)])
def test_sensor_passage_counts_within_grace(seconds: float, person: str | None) -> None:
    lanes = [{**lane, "passage": "sensor"} for lane in LAB]
    terminal = Terminal(zones=[{"name": "lab", "max_people": 5}], lanes=lanes)
    terminal.grant("in")
    terminal.engine.relocked("lab", terminal.at)
    terminal.wait(seconds)
    assert terminal.engine.passed("in", terminal.moment).person == person


# -------------------------------------------------------------------- two people, two doors

DUAL = {
    "lanes": [{"name": "main", "two_people": True}],
    "two_people": {"groups": ["staff", "guards"], "within_s": 30},
}


def test_two_people_open_together() -> None:
    terminal = Terminal(**DUAL)
    assert terminal.show("main", Factor.FACE, ADA) == "waiting for a second person"
    assert terminal.show("main", Factor.FACE, ADA) == "waiting for a second person"
    terminal.wait(30)
    outcome = terminal.present("main", Factor.FACE, BEN)
    assert isinstance(outcome, Allowed) and outcome.people == (ADA, BEN)


def test_cancelled_grant_of_two_needs_both() -> None:
    terminal = Terminal(**DUAL)
    terminal.show("main", Factor.FACE, ADA)
    outcome = terminal.present("main", Factor.FACE, BEN)
    assert isinstance(outcome, Allowed)
    terminal.engine.cancelled(outcome)
    assert terminal.show("main", Factor.FACE, BEN) == "waiting for a second person"


def test_second_person_must_follow_in_time() -> None:
    terminal = Terminal(**DUAL)
    terminal.show("main", Factor.FACE, ADA)
    terminal.wait(30.1)
    assert terminal.show("main", Factor.FACE, BEN) == "waiting for a second person"


def test_second_person_must_be_in_group() -> None:
    terminal = Terminal(**DUAL)
    terminal.show("main", Factor.FACE, ADA)
    assert terminal.show("main", Factor.FACE, RulePerson("Guest")) == "two-people-not-permitted"


MANTRAP = {
    "lanes": [{"name": "a"}, {"name": "b"}],
    "interlock": True,
}


@pytest.mark.parametrize("status", [DoorStatus(True, False), DoorStatus(False, True), None])
def test_interlock_refuses_while_other_is_open(status: DoorStatus | None) -> None:
    terminal = Terminal(**MANTRAP)
    terminal.doors = {"lab": LOCKED["lab"]} | ({} if status is None else {"yard": status})
    assert terminal.show("a", Factor.FACE, ADA) == "interlock"


def test_interlock_is_checked_again() -> None:
    terminal = Terminal(**MANTRAP)
    outcome = terminal.present("a", Factor.FACE, ADA)
    assert isinstance(outcome, Allowed)
    assert terminal.engine.check(outcome, terminal.moment, terminal.doors) is None
    terminal.doors["yard"] = DoorStatus(True, False)  # by its exit button, meanwhile
    refusal = terminal.engine.check(outcome, terminal.moment, terminal.doors)
    assert refusal is RuleRefusal.INTERLOCK


def test_first_person_starts_open_hours() -> None:
    terminal = Terminal(first_person=["guards"])
    engine = terminal.engine
    assert engine.update_schedule("main", ScheduledMode.OPEN) is ScheduledMode.NORMAL
    terminal.grant("main", ADA)
    assert engine.update_schedule("main", ScheduledMode.OPEN) is ScheduledMode.NORMAL
    terminal.grant("main", BEN)
    assert engine.update_schedule("main", ScheduledMode.OPEN) is ScheduledMode.OPEN
    engine.update_schedule("main", ScheduledMode.NORMAL)
    assert engine.update_schedule("main", ScheduledMode.OPEN) is ScheduledMode.NORMAL


def test_extended_time_of_a_person() -> None:
    terminal = Terminal()
    assert terminal.grant("main", RulePerson("Eve", extended=True)).extended
    assert not terminal.grant("main", ADA).extended
