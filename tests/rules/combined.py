"""Random steps of a real door with access rules, against the oracle and the reasons to unlock."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from edge.access.lockout import LockoutRule
from edge.access.rules.values import Factor, Waiting
from edge.audit.async_writer import AsyncLogWriter
from edge.audit.writer import AuditLogWriter
from edge.door.access_point import AccessPointSettings
from edge.door.controller import InputKind, OperatorCommand
from edge.door.credential_editor import edit_credentials
from edge.door.door import Door
from edge.door.hardware import DoorHardware
from edge.door.inputs import DoorInputs
from edge.door.lane_requests import LaneRequests
from edge.door.paths import DoorPaths
from edge.door.people_watcher import PeopleWatcher
from edge.door.record import PreviousRun
from edge.door.simulated_backend import SimulatedRelayOutput
from edge.door.timing import LatchedStates
from edge.door.unlocker import GrantUnlocker
from edge.system.wallclock import ClockDoubt, WallClock
from edge.values import Grant
from tests.doors import make_settings, make_timing
from tests.rules.oracle import Oracle, Visitor
from tests.rules.steps import do_random_step, run_worlds
from tests.rules.world import MONTH, TERMINALS, VISITORS, build_rules

PULSE_S, REX_S = 3.0, 4.0
DEADLINE_S = 60.0
_KINDS = (InputKind.FIRE, InputKind.REX, InputKind.CONTACT)
_COMMANDS = ("lockdown", *["release"] * 4, "hold", "reset-fire", "unlock")
# The first terminal without its second door: contact, hard anti-passback, occupancy; cards at night
_LAB: dict[str, Any] = {
    **TERMINALS[0],
    "zones": TERMINALS[0]["zones"][:1],
    "lanes": [{**lane, "door": "main"} for lane in TERMINALS[0]["lanes"][:2]],
    "interlock": False,
    "night": {"mode": "card-and-face", "fallback": ["card"]},
}


class Level:
    """Input whose level the test sets."""

    def __init__(self) -> None:
        self.active = False

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None: ...


class TestClock(WallClock):
    """Wall clock whose time and trust the test sets."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.now, self.is_trusted = MONTH + timedelta(days=9, hours=9), True

    def read_with_doubt(self) -> tuple[float, ClockDoubt | None]:
        return self.now.timestamp(), None if self.is_trusted else ClockDoubt.AHEAD


class NoDisk(AuditLogWriter):
    """Audit log that keeps nothing."""

    def append(self, fields: dict[str, Any], *, durable: bool = True) -> int:
        return 1


class DoorWorld:
    """A door with people, driven by a seed; each answer and each relay state is checked."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = random.Random(seed)
        self._paths = DoorPaths.in_folder(folder)
        self._make_people()
        self._at, self._wall = 1000.0, TestClock()
        self._oracle = Oracle(_LAB)
        self._people = PeopleWatcher(self._paths.people, self._paths.people_key)
        self._levels = {kind: Level() for kind in _KINDS}
        self._fire = self._lockdown = self._held = False
        self._pulse_ends = self._operator_ends = self._rex_ends = -math.inf
        self._ids = map(str, itertools.count())
        self.outcomes: Counter[str] = Counter()
        self._open(LatchedStates())
        self._steps: list[tuple[Callable[[], None], int]] = [
            (self._present, 50), (self._wait, 20), (self._contact, 12), (self._press, 6),
            (self._burn, 2), (self._operate, 6), (self._set_clock, 4), (self._reset, 2),
            (self._restart, 2),
        ]  # fmt: skip

    def step(self) -> None:
        """Do one random step; raises AssertionError if the door is wrong."""
        do_random_step(self._random, self._steps)
        if (newest := self._door.log.newest).fields:  # no record is lost to a full queue
            assert newest.done.wait(DEADLINE_S)
        assert self._relay.energised == self._must_unlock()
        people = self._oracle.picture(now=self._at).count.get("lab", 0)
        assert self._door.access.zones["lab"][0] == people

    def close(self) -> None:
        self._door.stop()
        self._door.log.close()
        self._people.close()

    # ------------------------------------------------------------ steps

    def _present(self) -> None:
        if self._random.random() < 0.5:
            self._pass_time(11.0)  # beyond the factor window
        who, lane = self._random.choice(VISITORS), self._random.choice(["lab-in", "lab-out"])
        for factor in self._random.sample(list(Factor), self._random.randint(1, 4)):
            if self._random.random() < 0.1:
                who = self._random.choice(VISITORS)
            self._present_factor("lab-in" if factor is Factor.FACE else lane, factor, who)

    def _present_factor(self, lane: str, factor: Factor, who: Visitor) -> None:
        masked = factor is Factor.FACE and self._random.random() < 0.3
        expected: tuple[Any, ...] = ("refused", "lockdown", False)
        if not self._lockdown:
            expected = self._oracle.present(
                lane, factor.value, who, self._at, self._wall.now, self._wall.is_trusted,
                {"main": False}, masked,
            )  # fmt: skip
        if factor is Factor.FACE:
            grant = Grant(next(self._ids), who.name, 1, self._at, "lab-in", masked=masked)
            answer = self._access.present_face(grant)
        else:
            entry = self._people.credentials.find_person(who.name)
            assert entry is not None
            answer = self._access.present_credential(lane, factor, entry)
        self.outcomes[expected[1] if expected[0] == "refused" else expected[0]] += 1
        if expected[0] == "waiting":
            assert isinstance(answer, Waiting) and answer.until == expected[2]
            assert tuple(sorted(factor.value for factor in answer.missing)) == expected[1]
        elif expected[0] == "refused":
            assert answer == expected[1], (answer, expected)
        else:
            assert answer is None, (answer, expected)
            self._note_grant(lane, expected[1])

    def _note_grant(self, lane: str, names: tuple[str, ...]) -> None:
        limited = {who.name: who.max_uses is not None for who in VISITORS}
        self._note(
            "grant",
            lane=lane,
            people=[(name, limited[name]) for name in names],
            ajar=self._levels[InputKind.CONTACT].active,
            starts=False,
        )
        self._oracle.shown = [one for one in self._oracle.shown if one[0] != lane]
        self._pulse_ends = max(self._pulse_ends, self._at + PULSE_S)

    def _wait(self) -> None:
        self._pass_time(self._random.choice([0.5, 1.9, 3.0, 30.0, 4000.0]))

    def _contact(self) -> None:
        level = self._levels[InputKind.CONTACT]
        level.active = not level.active
        self._door.update()
        if level.active:
            self._note("open", door="main")

    def _press(self) -> None:
        level = self._levels[InputKind.REX]
        level.active = not level.active
        if level.active:
            self._rex_ends = self._at + REX_S
        self._update(self._relay.energised)
        assert self._relay.energised or not level.active

    def _burn(self) -> None:
        level = self._levels[InputKind.FIRE]
        level.active = not level.active
        self._fire = self._fire or level.active
        self._update(self._relay.energised)
        assert self._relay.energised or not level.active

    def _operate(self) -> None:
        command = OperatorCommand(self._random.choice(_COMMANDS))
        was_unlocked = self._relay.energised
        refused = self._door.controller.execute(command, self._at)
        self._door.switch_relays()
        if was_unlocked and not self._relay.energised:
            self._note("relock", door="main")
        if refused is not None:
            return
        if command is OperatorCommand.LOCKDOWN:
            self._lockdown, self._held = True, False
            self._pulse_ends = self._operator_ends = -math.inf
        elif command is OperatorCommand.RELEASE:
            self._lockdown = self._held = False
        elif command is OperatorCommand.HOLD:
            self._held = True
        elif command is OperatorCommand.UNLOCK:
            self._operator_ends = max(self._operator_ends, self._at + PULSE_S)
        else:
            self._fire = False

    def _set_clock(self) -> None:
        if self._random.random() < 0.5:
            self._wall.is_trusted = not self._wall.is_trusted
        else:
            self._wall.now = MONTH + timedelta(hours=self._random.uniform(0, 24 * 30))

    def _reset(self) -> None:
        access = self._door.access
        kind = self._random.choice(["reset", "erase", "reset-all", "occupancy"])
        if kind in ("reset", "erase"):
            who = self._random.choice(VISITORS).name
            (access.reset_person if kind == "reset" else access.erase_person)(who)
            self._note(kind, who=who)
        elif kind == "reset-all":
            access.reset_all()
            self._note(kind)
        else:
            access.set_occupancy("lab", 1)
            self._note(kind, zone="lab", people=1)

    def _restart(self) -> None:
        """Stop and start the door; a hold and pulses end, zones and latches stay."""
        self._pass_time(1.1)  # grants that became void are saved within a second
        latches = self._door.controller.latches
        self._door.stop()
        assert not self._relay.energised
        self._door.log.close()
        self._held = False
        self._pulse_ends = self._operator_ends = self._rex_ends = -math.inf
        self._oracle.log.append({"what": "restart", "t": self._at})
        self._oracle.shown = []
        if self._levels[InputKind.REX].active:
            self._rex_ends = self._at + REX_S
        self._open(latches)

    # ------------------------------------------------------------ parts

    def _make_people(self) -> None:
        with edit_credentials(self._paths.people, self._paths.people_key) as editor:
            for who in VISITORS:
                days = who.valid and [MONTH.date().replace(day=day) for day in who.valid]
                attributes = {
                    "groups": who.groups,
                    "valid_from": days[0] if days else None,
                    "valid_until": days[1] if days else None,
                    "max_uses": who.max_uses,
                    "mode": who.mode,
                    "anti_passback_exempt": who.exempt,
                }
                editor.set_person(who.name, attributes)

    def _open(self, latches: LatchedStates) -> None:
        access = AccessPointSettings(
            build_rules(_LAB),
            "main",
            {},
            LockoutRule(5, 300.0, 60.0, 3600.0),
            has_contact=True,
            panel=None,
        )
        timing = make_timing(pulse_s=PULSE_S, rex_pulse_s=REX_S, max_grant_unlock_s=math.inf)
        self._relay = SimulatedRelayOutput(lambda: self._at)
        self._door = Door(
            make_settings(access=access, timing=timing),
            DoorHardware(self._relay, None, DoorInputs(self._levels, dict.fromkeys(_KINDS, 0.0))),
            AsyncLogWriter(lambda: NoDisk(self._paths.zones.parent / "door")),
            PreviousRun(latches),
            lambda: self._at,
            self._wall,
            self._paths,
        )
        self._access = LaneRequests(self._door, self._people, GrantUnlocker(self._door), None)
        self._door.update()

    def _pass_time(self, seconds: float) -> None:
        was_unlocked = self._relay.energised
        self._at += seconds
        self._wall.now += timedelta(seconds=seconds)
        self._update(was_unlocked)

    def _update(self, was_unlocked: bool) -> None:
        """Update the door; note if it locked."""
        self._door.update()
        if was_unlocked and not self._relay.energised:
            self._note("relock", door="main")

    def _must_unlock(self) -> bool:
        is_pressed = self._levels[InputKind.REX].active
        if self._fire or is_pressed or self._at < self._rex_ends:
            return True
        pulse_ends = max(self._pulse_ends, self._operator_ends)
        return not self._lockdown and (self._held or self._at < pulse_ends)

    def _note(self, what: str, **more: Any) -> None:
        wall = self._wall.now.timestamp() if self._wall.is_trusted else None
        self._oracle.log.append({"what": what, "t": self._at, "wall": wall, **more})


def run_door_steps(steps: int, *, seed: int) -> Counter[str]:
    """Run steps at doors; return the outcomes. Raises AssertionError."""
    return run_worlds(DoorWorld, steps, seed=seed)
