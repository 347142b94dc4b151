"""Random steps of two door processes that share zones, against the oracle.

A grant may be on its way at one door while anything happens at the other one: requests, passages,
resets, kills, starts. Each process is a `AccessController` with its own lock and file thread.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from edge.access.lockout import LockoutRule
from edge.access.rules.values import Allowed, DoorStatus, Factor
from edge.door.access_controller import AccessController
from edge.door.access_point import AccessPointSettings
from edge.door.zone_file import ZoneFile
from edge.door.zone_lock import ZoneLock
from tests.rules.combined import TestClock
from tests.rules.oracle import Oracle, Picture
from tests.rules.steps import do_random_step, run_worlds
from tests.rules.world import (
    LAB,
    MONTH,
    VISITORS,
    YARD,
    answer_of,
    build_rules,
    compare_people,
    make_lane,
    make_terminal,
    person_of,
)

DEADLINE_S = 60.0
DOORS = ("left", "right")
TWO_DOORS = make_terminal(
    zones=[LAB, YARD],
    lanes=[
        make_lane("lab-in", "left", "lab", "in", passage="contact"),
        make_lane("lab-out", "left", "lab", "out", passage="contact"),
        make_lane("yard-in", "left", "yard", "in"),
        make_lane("side-in", "right", "lab", "in", passage="contact"),
        make_lane("side-out", "right", "lab", "out"),
        make_lane("yard-out", "right", "yard", "out", passage="sensor"),
    ],
)


@dataclass
class SimulatedDoorProcess:
    """Door process; a kill closes its files as the kernel does."""

    access: AccessController
    lock: ZoneLock
    file: ZoneFile
    unsaved: list[dict[str, Any]] = field(default_factory=list)  # facts that a kill loses

    def kill(self) -> None:
        self.lock.close()
        self.file.close()

    def pump(self) -> None:
        """Repeat the maintenance until nothing waits for the disk."""
        self.access.run_maintenance()
        while self.lock.is_held:
            self.access.wait(DEADLINE_S)
            self.access.run_maintenance()


@dataclass(frozen=True)
class OnItsWay:
    """Grant that is on disk, and not done yet."""

    door: str
    allowed: Allowed
    ajar: bool  # the door stood open when the state was saved


class SharedWorld:
    """Two processes of one terminal, driven by a seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self._terminal = {**TWO_DOORS, "interlock": seed % 2 == 1}
        self._oracle = Oracle(self._terminal)
        self._at, self._wall = 1000.0, TestClock()
        self._moved = dict.fromkeys(DOORS, False)  # unlocked or open
        self._coming: OnItsWay | None = None
        self._processes = {door: self._start(door) for door in DOORS}
        self.outcomes: Counter[str] = Counter()
        self._steps: list[tuple[Callable[[], None], int]] = [
            (self._present, 60), (self._end, 24), (self._open, 20), (self._relock, 8),
            (self._move, 6), (self._wait, 12), (self._set_clock, 3), (self._reset, 5),
            (self._restart, 3), (self._kill, 6), (self._cut_power, 2), (self._corrupt, 2),
        ]  # fmt: skip

    def step(self) -> None:
        """Do one random step; raises AssertionError if a process is wrong."""
        do_random_step(self._random, self._steps)
        self._pump()
        self._compare()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()

    # ------------------------------------------------------------ steps

    def _present(self) -> None:
        door = self._random.choice(DOORS)
        process, lane = self._processes[door], self._choose_lane(door)
        if self._coming is not None:
            if self._coming.door != door:  # the other process holds the lock
                for _ in range(3):
                    assert not process.access.begin_request()
                process.access.end_request()
                self.outcomes["zones-busy"] += 1
            return
        if self._random.random() < 0.6:
            self._pass_time(11.0)  # beyond the factor window
        who = self._random.choice(VISITORS)
        for factor in self._random.sample(list(Factor), self._random.randint(1, 4)):
            while not process.access.begin_request():
                process.access.wait(DEADLINE_S)
            expected = self._oracle.present(
                lane, factor.value, who, self._at, self._wall.now, self._wall.is_trusted,
                self._moved, False,
            )  # fmt: skip
            outcome = process.access.present(lane, factor, person_of(who))
            assert answer_of(outcome) == expected, (lane, factor, who, answer_of(outcome), expected)
            self.outcomes[expected[1] if expected[0] == "refused" else expected[0]] += 1
            if isinstance(outcome, Allowed):
                self._begin(door, outcome)
                return
            process.access.end_request()

    def _begin(self, door: str, allowed: Allowed) -> None:
        save = self._processes[door].access.begin_grant(allowed)
        assert save is not None and save.done.wait(DEADLINE_S) and save.written
        self._coming = OnItsWay(door, allowed, self._moved[door])
        if self._random.random() < 0.5:
            self._end()

    def _end(self) -> None:
        """Unlock for the grant on its way, or refuse it after all."""
        if self._coming is None:
            return
        door, allowed = self._coming.door, self._coming.allowed
        access, other = self._processes[door].access, self._other(door)
        refusal = access.check(allowed)
        who = next(one for one in VISITORS if one.name == allowed.people[0].name)
        answer = self._oracle.complete(
            self._oracle.lane(allowed.lane), who, self._at, self._wall.now, self._wall.is_trusted,
            self._moved, False,
        )  # fmt: skip
        assert refusal == (answer[1] if answer[0] == "refused" else None), (refusal, answer)
        self._coming = None
        if refusal is not None or self._random.random() < 0.1:
            access.cancel_grant(allowed)
            self._oracle.log.append({"what": "cancel", "t": self._at, "lane": allowed.lane})
        else:
            access.end_grant(allowed)
            self._note_grant(allowed, ajar=self._moved[door])
        access.end_request()
        self._oracle.shown = [one for one in self._oracle.shown if one[0] != allowed.lane]
        self._processes[door].unsaved.clear()
        waiting = self._processes[other].unsaved  # they are applied to the newer state
        self._oracle.log += waiting
        waiting.clear()

    def _open(self) -> None:
        """Report an opening, or a person at the sensor."""
        door = self._random.choice(DOORS)
        access = self._processes[door].access
        if door == "right" and self._random.random() < 0.4:
            access.passed()
            self._note(door, "sensor", lane="yard-out")
            return
        here = self._oracle.passing(self._picture(), door)
        access.events.clear()
        access.opened()
        passed = [event.subject for event in access.events if event.event == "passage"]
        assert sorted(map(str, passed)) == sorted(grant["who"] for grant in here)
        self._note(door, "open", door=door)

    def _relock(self) -> None:
        door = self._random.choice(DOORS)
        if self._coming is None:
            self._processes[door].access.relocked()
            self._note(door, "relock", door=door)

    def _move(self) -> None:
        door = self._random.choice(DOORS)
        self._moved[door] = not self._moved[door]

    def _wait(self) -> None:
        if self._coming is None:
            self._pass_time(self._random.choice([0.5, 1.9, 3.0, 30.0, 4000.0]))

    def _set_clock(self) -> None:
        if self._coming is not None:
            return
        if self._random.random() < 0.5:
            self._wall.is_trusted = not self._wall.is_trusted
        else:
            self._wall.now = MONTH + timedelta(hours=self._random.uniform(0, 24 * 30))

    def _reset(self) -> None:
        door = self._random.choice(DOORS)
        if self._coming is not None and self._has_grants(self._other(door)):
            return  # the other process learns of the reset later
        access = self._processes[door].access
        kind = self._random.choice(["reset", "erase", "reset-all", "occupancy"])
        if kind in ("reset", "erase"):
            who = self._random.choice(VISITORS).name
            (access.reset_person if kind == "reset" else access.erase_person)(who)
            self._note(door, kind, at=door, who=who)
        elif kind == "reset-all":
            access.reset_all()
            self._note(door, kind, at=door)
        else:
            access.set_occupancy("lab", 1)
            self._note(door, kind, at=door, zone="lab", people=1)

    def _restart(self) -> None:
        door = self._random.choice(DOORS)
        if self._coming is None:
            self._processes[door].access.close()
            self._begin_again(door)

    def _kill(self) -> None:
        """End a process at any time; what it had not saved is lost."""
        door = self._random.choice(DOORS)
        process = self._processes[door]
        process.kill()
        lost = list(map(id, process.unsaved))
        self._oracle.log = [fact for fact in self._oracle.log if id(fact) not in lost]
        if self._coming is None or self._coming.door != door:
            self._begin_again(door)
            return
        self._note_grant(self._coming.allowed, ajar=self._coming.ajar)  # it is on disk
        self._coming = None
        self.outcomes["killed while granting"] += 1
        for each in DOORS:  # the order in which they save
            if each == door:
                self._begin_again(door)
            else:
                self._oracle.log += self._processes[each].unsaved
                self._processes[each].unsaved.clear()

    def _cut_power(self) -> None:
        for door in DOORS:
            process = self._processes[door]
            process.kill()
            lost = list(map(id, process.unsaved))
            self._oracle.log = [fact for fact in self._oracle.log if id(fact) not in lost]
            process.unsaved.clear()
        if self._coming is not None:
            self._note_grant(self._coming.allowed, ajar=self._coming.ajar)
            self._coming = None
        for door in DOORS:
            self._begin_again(door)

    def _corrupt(self) -> None:
        """Replace the file by one that is no state, while both processes run."""
        if self._coming is None:
            fresh = self._folder / "fresh"
            fresh.write_text(self._random.choice(["", "{", '{"counts": {"lab": -1}}']))
            fresh.replace(self._folder / "zones.json")
            self._oracle.log.append({"what": "corrupt", "t": self._at, "running": True})

    # ------------------------------------------------------------ parts

    def _start(self, door: str) -> SimulatedDoorProcess:
        rules = replace(build_rules(self._terminal), doors=frozenset({door}))
        lockout = LockoutRule(5, 300.0, 60.0, 3600.0)
        settings = AccessPointSettings(rules, door, {}, lockout, has_contact=True, panel=None)
        lock = ZoneLock(self._folder / "zones.lock", lambda: self._at)
        file = ZoneFile(self._folder / "zones.json")
        access = AccessController(
            settings, file, lock, lambda: self._at, self._wall, self._statuses
        )
        return SimulatedDoorProcess(access, lock, file)

    def _begin_again(self, door: str) -> None:
        self._processes[door] = self._start(door)
        self._note(door, "restart", door=door)
        lanes = [lane["name"] for lane in self._terminal["lanes"] if lane["door"] == door]
        self._oracle.shown = [one for one in self._oracle.shown if one[0] not in lanes]

    def _pump(self) -> None:
        for door, process in self._processes.items():
            if self._coming is None or self._coming.door != door:
                process.pump()

    def _compare(self) -> None:
        """Compare the file, and the view of both processes, with the oracle."""
        path = self._folder / "zones.json"
        if self._coming is not None or not path.exists():
            return
        for process in self._processes.values():
            while not process.access.begin_request():
                process.access.wait(DEADLINE_S)
            process.access.end_request()
            process.pump()
        now = self._picture()
        for process in self._processes.values():
            assert process.access.is_state_known == now.known
            for zone, (people, _) in process.access.zones.items():
                assert people == now.count.get(zone, 0), (zone, people, now.count)
        if now.known:
            self._compare_file(json.loads(path.read_text()), now)

    def _compare_file(self, state: dict[str, Any], now: Picture) -> None:
        compare_people(state, now)
        assert state["used"] == {who: uses for who, uses in now.used.items() if uses}
        pending = sorted((each["person"], each["lane"]) for each in state["pending"])
        assert pending == sorted((grant["who"], grant["lane"]) for grant in now.open)

    def _picture(self) -> Picture:
        waiting = [fact for door in DOORS for fact in self._processes[door].unsaved]
        known = list(map(id, self._oracle.log))
        log = self._oracle.log + [fact for fact in waiting if id(fact) not in known]
        return self._oracle.picture(log, now=self._at)

    def _has_grants(self, door: str) -> bool:
        """Return True if a grant of a door waits for its passage, by what is on disk."""
        grants = self._oracle.picture(now=self._at).open
        return any(self._oracle.lane(one["lane"])["door"] == door for one in grants)

    def _choose_lane(self, door: str) -> str:
        lanes = [lane["name"] for lane in self._terminal["lanes"] if lane["door"] == door]
        return str(self._random.choice(lanes))

    def _other(self, door: str) -> str:
        return DOORS[1 - DOORS.index(door)]

    def _pass_time(self, seconds: float) -> None:
        self._at += seconds
        self._wall.now += timedelta(seconds=seconds)
        self._pump()

    def _note_grant(self, allowed: Allowed, *, ajar: bool) -> None:
        self._log(
            "grant",
            lane=allowed.lane,
            people=[(each.name, each.max_uses is not None) for each in allowed.people],
            ajar=ajar,
            starts=False,
        )

    def _note(self, place: str, what: str, **more: Any) -> None:
        """Note a fact at a door; without the lock it waits to be saved."""
        coming, process = self._coming, self._processes[place]
        if coming is not None and coming.door != place:
            process.unsaved.append(self._fact(what, **more))
            return
        fact = self._log(what, **more)
        if coming is not None:
            process.unsaved.append(fact)

    def _log(self, what: str, **more: Any) -> dict[str, Any]:
        fact = self._fact(what, **more)
        self._oracle.log.append(fact)
        return fact

    def _fact(self, what: str, **more: Any) -> dict[str, Any]:
        wall = self._wall.now.timestamp() if self._wall.is_trusted else None
        return {"what": what, "t": self._at, "wall": wall, **more}

    def _statuses(self) -> dict[str, DoorStatus]:
        return {door: DoorStatus(moved, moved) for door, moved in self._moved.items()}


def run_shared_steps(steps: int, *, seed: int) -> Counter[str]:
    """Run steps at two doors; return the outcomes. Raises AssertionError."""
    return run_worlds(SharedWorld, steps, seed=seed)
