"""Random steps of the access rules: presentations, passages, restarts, power cuts, clocks."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from edge.access.rules.codec import ContentCodec
from edge.access.rules.content import ZoneContent
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
)
from edge.access.schedule import ScheduledMode
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from tests.rules.oracle import Answer, Oracle, Picture, Visitor
from tests.rules.steps import do_random_step, run_worlds

MONTH = datetime(2026, 5, 1, tzinfo=timezone.utc)
VISITORS = (
    Visitor("Ada", ("staff",)),
    Visitor("Ben", ("staff", "guards"), mode="card-and-face"),
    Visitor("Cleo", ("guards",), exempt=True),
    Visitor("Dora", ("staff",), valid=(10, 20)),
    Visitor("Eli", ("staff",), max_uses=1),
    Visitor("Finn", ("staff",), mode="card"),
    Visitor("Gast"),
)


def make_lane(
    name: str, door: str, zone: str | None, direction: str, **more: Any
) -> dict[str, Any]:
    plain = {"groups": [], "passage": None, "two_people": False}
    egress = {"hardware_egress": True} if direction == "out" else {}
    where = {"name": name, "door": door, "zone": zone, "direction": direction}
    return {**where, **plain, **egress, **more}


def make_terminal(**rules: Any) -> dict[str, Any]:
    plain = {
        "mode": "face",
        "masked": "require-second-factor",
        "window_s": 10.0,
        "passage_grace_s": 2.0,
        "interlock": False,
        "first_person": [],
        "two_people": None,
    }
    return {**plain, **rules}


LAB = {"name": "lab", "anti_passback": "hard", "forget_after_s": 7200.0, "max_people": 3}
YARD = {"name": "yard", "anti_passback": "soft", "forget_after_s": None, "max_people": 4}
TERMINALS = (
    make_terminal(  # two doors with contacts, a mantrap
        zones=[LAB, YARD],
        lanes=[
            make_lane("lab-in", "lab", "lab", "in", passage="contact", groups=["staff", "guards"]),
            make_lane("lab-out", "lab", "lab", "out", passage="contact"),
            make_lane("yard-in", "gate", "yard", "in", passage="contact"),
            make_lane("yard-out", "gate", "yard", "out", passage="contact"),
        ],
        interlock=True,
    ),
    make_terminal(  # turnstiles with sensors, second factor at night, dual authorisation
        zones=[{**LAB, "forget_after_s": None}, YARD],
        lanes=[
            make_lane("lab-in", "lab", "lab", "in", passage="sensor", two_people=True),
            make_lane("lab-out", "lab", "lab", "out", passage="sensor"),
            make_lane("yard-in", "gate", "yard", "in", passage="sensor"),
            make_lane("yard-out", "gate", "yard", "out", passage="sensor"),
        ],
        two_people={"groups": ["staff", "guards"], "within_s": 20.0},
        night={"mode": "pin-and-face", "fallback": ["card"]},
    ),
    make_terminal(  # no input reports passages; a shop with open hours
        mode="card-and-face",
        masked="ignore",
        zones=[LAB],
        lanes=[
            make_lane("lab-in", "lab", "lab", "in"),
            make_lane("lab-out", "lab", "lab", "out"),
            make_lane("shop", "shop", None, "in"),
        ],
        first_person=["guards"],
        night={"mode": "face", "fallback": ["card", "pin"]},
    ),
)


def build_rules(terminal: dict[str, Any]) -> AccessRules:
    """Return the engine's rules of a terminal of the oracle."""
    fields = dict(terminal)
    fields["factor_window_s"] = fields.pop("window_s")
    night = fields.pop("night", None)
    if night is not None:
        days = ["mon-fri", "sat", "sun"]
        fields["spans"] = [{"days": days, "begin": "20:00", "end": "06:00", **night}]
    doors = {lane["name"]: lane["door"] for lane in fields["lanes"]}
    fields["lanes"] = [
        {key: value for key, value in lane.items() if key != "door"} for lane in fields["lanes"]
    ]
    door = DoorConfig.model_validate({"schedule": {"time_zone": "UTC"}})
    return with_doors(build_access_rules(AccessConfig.model_validate(fields), door), doors)


def with_doors(rules: AccessRules, doors: Mapping[str, str]) -> AccessRules:
    """Return rules of an engine that decides for the lanes of several doors."""
    lanes = {
        name: replace(lane, door=doors.get(name, lane.door)) for name, lane in rules.lanes.items()
    }
    names = frozenset(lane.door for lane in lanes.values())
    interlock = names if rules.interlock else frozenset[str]()
    return replace(rules, lanes=lanes, doors=names, interlock=interlock)


def person_of(one: Visitor) -> RulePerson:
    days = one.valid and [date(2026, 5, day) for day in one.valid]
    return RulePerson(
        one.name,
        frozenset(one.groups),
        valid_from=days[0] if days else None,
        valid_until=days[1] if days else None,
        max_uses=one.max_uses,
        mode=None if one.mode is None else AuthMode(one.mode),
        anti_passback_exempt=one.exempt,
    )


def answer_of(outcome: RuleOutcome) -> Answer:
    if isinstance(outcome, Allowed):
        names = tuple(person.name for person in outcome.people)
        return ("allowed", names, outcome.duress, tuple(map(str, outcome.violations)))
    if isinstance(outcome, Refused):
        return ("refused", str(outcome.reason), outcome.duress)
    missing = tuple(sorted(factor.value for factor in outcome.missing))
    return ("waiting", missing, outcome.until, outcome.duress)


@dataclass(frozen=True, slots=True)
class Saved:
    """State on disk, and how many facts it holds."""

    text: bytes
    at: float
    facts: int
    is_acknowledged: bool  # the door waited for it


class RulesWorld:
    """One terminal with people, driven by a seed; every answer is compared with the oracle."""

    def __init__(self, seed: int, make: Callable[[AccessRules], RulesEngine]) -> None:
        self._random = random.Random(seed)
        self._terminal = TERMINALS[seed % len(TERMINALS)]
        self._rules, self._make = build_rules(self._terminal), make
        self._engine, self._oracle = make(self._rules), Oracle(self._terminal)
        self._at, self._wall, self._trusted = 1000.0, MONTH + timedelta(days=9, hours=9), True
        self._lanes = [lane["name"] for lane in self._terminal["lanes"]]
        self._doors = dict.fromkeys((lane["door"] for lane in self._terminal["lanes"]), False)
        self._saved = [self._save(is_acknowledged=True)]
        self.outcomes: Counter[str] = Counter()  # answers by kind, refusals by code
        self._steps: list[tuple[Callable[[], None], int]] = [
            (self._present, 60),
            (self._wait, 12),
            (self._open_or_pass, 12),
            (self._relock, 6),
            (self._door_moves, 6),
            (self._schedule, 4),
            (self._clock, 4),
            (self._reset, 2),
            (self._restart, 1),
            (self._power_cut, 2),
            (self._corrupt, 1),
        ]

    def step(self) -> None:
        """Do one random step; raises AssertionError if the engine is wrong."""
        do_random_step(self._random, self._steps)
        self._compare()
        self._saved.append(self._save(is_acknowledged=False))

    def close(self) -> None: ...

    # ------------------------------------------------------------ steps

    def _present(self) -> None:
        """Present factors of one person, rarely one of another; mostly as the first at the lane."""
        if self._random.random() < 0.6:
            self._at += 11.0  # beyond the factor window
        lane, who = self._random.choice(self._lanes), self._random.choice(VISITORS)
        factors = self._random.sample(list(Factor), self._random.randint(1, 4))
        for factor in factors:
            if self._random.random() < 0.1:
                who = self._random.choice(VISITORS)
            masked = factor is Factor.FACE and self._random.random() < 0.3
            moment, doors = self._moment(), self._statuses()
            outcome = self._engine.present(
                lane, factor, person_of(who), moment, doors, masked=masked
            )
            expected = self._oracle.present(
                lane, factor.value, who, self._at, self._wall, self._trusted, self._doors, masked
            )
            assert answer_of(outcome) == expected, (lane, factor, who)
            self.outcomes[expected[1] if expected[0] == "refused" else expected[0]] += 1
            if isinstance(outcome, Allowed):
                self._end(outcome)
            self._compare()

    def _end(self, allowed: Allowed) -> None:
        """Grant an allowed request, or not: it is cancelled, or the door says nothing."""
        end = self._random.random()
        if end < 0.8:
            self._grant(allowed)
        elif end < 0.9:
            self._engine.cancelled(allowed)
            self._note("cancel", lane=allowed.lane)
            self._oracle.shown = [one for one in self._oracle.shown if one[0] != allowed.lane]

    def _grant(self, allowed: Allowed) -> None:
        moment, doors = self._moment(), self._statuses()
        assert self._engine.check(allowed, moment, doors) is None
        planned = self._engine.state_if_granted(allowed, moment, doors)
        before = self._engine.state(self._at)
        text = _text(before if planned is None else planned)
        self._compare()
        self._engine.granted(allowed, moment, doors)
        door = self._oracle.lane(allowed.lane)["door"]
        starters = set(self._terminal["first_person"])
        self._note(
            "grant",
            lane=allowed.lane,
            people=[(each.name, each.max_uses is not None) for each in allowed.people],
            ajar=self._doors[door],
            starts=any(starters & each.groups for each in allowed.people),
        )
        self._oracle.shown = [one for one in self._oracle.shown if one[0] != allowed.lane]
        assert text == _text(self._engine.state(self._at))
        self._saved.append(self._save(is_acknowledged=True))

    def _open_or_pass(self) -> None:
        lane = self._random.choice(self._lanes)
        kind = self._oracle.lane(lane)["passage"]
        before = self._oracle.picture(now=self._at)
        if kind == "contact":
            door = self._oracle.lane(lane)["door"]
            passed = self._engine.opened(door, self._moment())
            self._note("open", door=door)
            here = self._oracle.passing(before, door)
            assert sorted(passed) == sorted(grant["who"] for grant in here)
        elif kind == "sensor":
            passage = self._engine.passed(lane, self._moment())
            self._note("sensor", lane=lane)
            mine = [grant["who"] for grant in before.open if grant["lane"] == lane]
            assert passage.person == (mine[0] if mine else None)
            assert passage.is_tailgating == (not mine and lane.endswith("-in"))

    def _relock(self) -> None:
        door = self._random.choice(list(self._doors))
        self._engine.relocked(door, self._at)
        self._note("relock", door=door)

    def _door_moves(self) -> None:
        door = self._random.choice(list(self._doors))
        self._doors[door] = not self._doors[door]

    def _wait(self) -> None:
        seconds = self._random.choice([0.5, 1.9, 3.0, 9.0, 30.0, 600.0, 4000.0])
        self._at += seconds
        self._wall += timedelta(seconds=seconds)

    def _schedule(self) -> None:
        door, mode = (
            self._random.choice(list(self._doors)),
            self._random.choice(list(ScheduledMode)),
        )
        self._note("mode", door=door, mode=mode.value)
        expected = self._oracle.open_mode(door, mode.value)
        assert self._engine.update_schedule(door, mode).value == expected

    def _clock(self) -> None:
        """Set the wall clock to another time, or change the trust in it."""
        if self._random.random() < 0.5:
            self._trusted = not self._trusted
        else:
            self._wall = MONTH + timedelta(hours=self._random.uniform(0, 24 * 30))

    def _reset(self) -> None:
        """Command of an operator; the new state is acknowledged."""
        kind = self._random.choice(["reset", "erase", "reset-all", "occupancy"])
        if kind in ("reset", "erase"):
            who = self._random.choice(VISITORS).name
            (self._engine.reset_person if kind == "reset" else self._engine.erase_person)(who)
            self._note(kind, who=who)
            if kind == "erase":
                check_erased(json.loads(_text(self._engine.state(self._at))), who)
        elif kind == "reset-all":
            self._engine.reset_all()
            self._note(kind)
        else:
            zone = self._random.choice(self._terminal["zones"])["name"]
            self._engine.set_occupancy(zone, 1)
            self._note(kind, zone=zone, people=1)
        self._saved.append(self._save(is_acknowledged=True))

    def _restart(self) -> None:
        self._start_from(self._save(is_acknowledged=True))

    def _power_cut(self) -> None:
        """Restart from any state saved since the last one that the door waited for."""
        newest = max(i for i, saved in enumerate(self._saved) if saved.is_acknowledged)
        saved = self._random.choice(self._saved[newest:])
        truth, lost = self._oracle.picture(now=self._at), self._oracle.log[saved.facts :]
        self._start_from(saved)
        self._check_safe(truth, self._oracle.picture(), lost)

    def _check_safe(self, truth: Picture, now: Picture, lost: list[dict[str, Any]]) -> None:
        """Check that the state after a power cut allows no more than the lost one."""
        assert now.known == truth.known
        for where, (side, _) in truth.side.items():
            assert side == "out" or now.side[where][0] == "in"
        for grant in truth.open:
            assert not grant["zone"] or now.side[grant["who"], grant["zone"]][0] == "in"
        assert all(now.used.get(who, 0) >= times for who, times in truth.used.items())
        uncounted = sum(fact["what"] == "sensor" for fact in lost)
        assert all(now.count.get(zone, 0) + uncounted >= n for zone, n in truth.count.items())

    def _corrupt(self) -> None:
        """Restart with a file that is no state."""
        self._engine = self._make(self._rules)
        value = self._random.choice([None, [], {"counts": {"lab": -1}}, {"is_known": "yes"}])
        with pytest.raises(ValueError, match="zone state"):
            parse_state(value)
        self._engine.invalidate()
        self._note("corrupt")
        self._oracle.shown = []
        self._saved = [self._save(is_acknowledged=True)]

    # ------------------------------------------------------------ parts

    def _start_from(self, saved: Saved) -> None:
        self._engine = self._make(self._rules)
        self._engine.load(ContentCodec().decode(saved.text))
        del self._oracle.log[saved.facts :]
        self._oracle.log.append({"what": "restart", "t": saved.at})
        self._oracle.shown = []
        self._saved = [self._save(is_acknowledged=True)]

    def _save(self, *, is_acknowledged: bool) -> Saved:
        text = _text(self._engine.state(self._at))
        return Saved(text, self._at, len(self._oracle.log), is_acknowledged)

    def _compare(self) -> None:
        """Compare the state with that of the oracle."""
        now = self._oracle.picture(now=self._at)
        state = json.loads(_text(self._engine.state(self._at)))
        compare_people(state, now)
        assert state["is_known"] == now.known
        assert {k: n for k, n in state["counts"].items() if n} == _positive(now.count)
        assert state["used"] == _positive(now.used)
        assert [each["person"] for each in state["pending"]] == [g["who"] for g in now.open]

    def _note(self, what: str, **more: Any) -> None:
        wall = self._wall.timestamp() if self._trusted else None
        self._oracle.log.append({"what": what, "t": self._at, "wall": wall, **more})

    def _moment(self) -> Moment:
        return Moment(self._at, self._wall, self._trusted)

    def _statuses(self) -> dict[str, DoorStatus]:
        return {door: DoorStatus(moved, moved) for door, moved in self._doors.items()}


def compare_people(state: dict[str, Any], now: Picture) -> None:
    """Compare the people of a saved state with those of the oracle. Raises AssertionError."""
    found = {
        (who, zone): one for zone, people in state["people"].items() for who, one in people.items()
    }
    sides = {here: one for here, one in found.items() if one["is_inside"] is not None}
    assert now.side == {
        here: ("in" if one["is_inside"] else "out", one["wall_s"]) for here, one in sides.items()
    }
    counted = {here: one["is_inside"] for here, one in found.items() if one["is_counted"]}
    assert now.inside == {here for here, is_inside in counted.items() if is_inside}
    assert now.outside == {here for here, is_inside in counted.items() if not is_inside}


def check_erased(state: dict[str, Any], who: str) -> None:
    """Check that a saved state names a person in grants only. Raises AssertionError."""
    assert who not in state["used"]
    assert not any(who in people for people in state["people"].values())


def _text(content: ZoneContent) -> bytes:
    return ContentCodec().encode(content)


def _positive(numbers: dict[str, int]) -> dict[str, int]:
    return {key: number for key, number in numbers.items() if number}


def run_steps(
    steps: int, *, seed: int, make: Callable[[AccessRules], RulesEngine] = RulesEngine
) -> Counter[str]:
    """Run steps of an engine; return the outcomes. Raises AssertionError."""
    return run_worlds(lambda world_seed, _: RulesWorld(world_seed, make), steps, seed=seed)
