"""Outcome of a demo, from the audit logs of both processes, compared with what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.demo.scenario import Scene, frame_ranges
from edge.synthesis.drawing import FPS

PASSED = (
    "The door opened for Eileen Collins, with a mask only after her PIN, but not during the "
    "lockdown, and not for Grace Hopper. Her duress PIN opened it and raised a silent alarm. The "
    "alarm reported the door held open; fire opened it until the reset."
)
_ANSWERS = ("unlocked", "refused", "waiting")
_SECRET = "duress"  # may be in the door's record only


@dataclass(frozen=True, slots=True)
class DoorState:
    """A state of the door over time: the events between which it holds."""

    name: str
    begins: str
    ends: str
    colour: str


OPEN = DoorState("door open", "unlocked", "relocked", "#2da44e")
WAITING = DoorState("asks for PIN", "waiting", "unlocked", "#1b7c83")
SILENT_ALARM = DoorState("silent alarm", "duress", "reset-duress", "#bc4c00")
CONTACT = DoorState("contact open", "contact-active", "contact-inactive", "#0969da")
ALARM = DoorState("held-open alarm", "alarm", "alarm-ended", "#bf8700")
LOCKDOWN = DoorState("lockdown", "lockdown", "release", "#8250df")
FIRE_INPUT = DoorState("fire input", "fire-active", "fire-inactive", "#57606a")
FIRE = DoorState("fire, until reset", "fire", "reset-fire", "#cf222e")
STATES = (OPEN, WAITING, SILENT_ALARM, CONTACT, ALARM, LOCKDOWN, FIRE_INPUT, FIRE)


@dataclass(frozen=True, slots=True)
class Interval:
    """Time during which a state held, and its cause; without an end, up to the last event."""

    start_s: float
    end_s: float
    reason: str
    ended: bool = True


@dataclass(frozen=True, slots=True)
class SceneResult:
    """Scene with the recogniser's decisions and the door's answers."""

    scene: Scene
    frames: range
    decisions: list[dict[str, Any]]
    answers: list[dict[str, Any]]

    @property
    def start_s(self) -> float:
        return self.frames.start / FPS

    @property
    def end_s(self) -> float:
        return self.frames.stop / FPS

    @property
    def unlocks(self) -> list[dict[str, Any]]:
        return [answer for answer in self.answers if answer["event"] == "unlocked"]

    @property
    def asked(self) -> dict[str, Any] | None:
        """First event that asks for a card or PIN."""
        return next((answer for answer in self.answers if answer["event"] == "waiting"), None)

    @property
    def outcome(self) -> str:
        if self.unlocks:
            return "opens" if self.asked is None else "opens after a PIN"
        return "refuses" if self.answers else "stays locked"

    @property
    def as_expected(self) -> bool:
        right = all(
            self.scene.person and unlock.get("subject") == self.scene.person.person
            for unlock in self.unlocks
        )
        return self.outcome == self.scene.expected and right

    @property
    def door(self) -> str:
        """Return the door's answer in this scene, in words."""
        if self.unlocks:
            words = [f"opens at {u['at_s']:.1f} s for {u['subject']}" for u in self.unlocks]
            if self.asked is not None:
                words.insert(0, f"asks for a card or PIN at {self.asked['at_s']:.1f} s")
            return ", ".join(words)
        reasons = sorted({answer["reason"] for answer in self.answers})
        return ": ".join([self.outcome, *reasons])


@dataclass(frozen=True, slots=True)
class DemoCheck:
    """Expectation and its result."""

    title: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """Outcome of a run; times are seconds since the clip's first frame."""

    scenes: list[SceneResult]
    events: list[dict[str, Any]]  # of the door's record
    states: dict[DoorState, list[Interval]]
    checks: list[DemoCheck]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def build_outcome(
    scenes: Sequence[Scene],
    decisions: Sequence[dict[str, Any]],
    door: Sequence[dict[str, Any]],
) -> DemoOutcome:
    """Sort the records of both processes by scene and state.

    Raises ValueError without decisions.
    """
    judged = [d for d in decisions if d.get("kind") == "decision"]
    if not judged:
        raise ValueError("the recogniser recorded no decision")
    origin = min(d["frame_at"] - d["frame"] / FPS for d in judged)
    events = [{**e, "at_s": e["at"] - origin} for e in door if "event" in e]
    results = []
    for scene, frames in zip(scenes, frame_ranges(scenes), strict=True):
        here = [{**d, "at_s": d["frame"] / FPS} for d in judged if d["frame"] in frames]
        # A grant belongs to the scene of its frame, not to the time of its arrival.
        ids = {d["id"] for d in here}
        answers = [e for e in events if e["event"] in _ANSWERS and e.get("record_id") in ids]
        results.append(SceneResult(scene, frames, here, answers))
    states = {state: _find_intervals(state, events) for state in STATES}
    seen = [
        _check_scene(result) for result in results if result.scene.person or not result.as_expected
    ]
    return DemoOutcome(
        results,
        events,
        states,
        [
            *seen,
            *_check_pins(results, events, decisions, states[SILENT_ALARM]),
            *_check_door(events, states, grants=sum(len(result.unlocks) for result in results)),
        ],
    )


def _find_intervals(state: DoorState, events: Sequence[dict[str, Any]]) -> list[Interval]:
    intervals = []
    begun: dict[str, Any] | None = None
    for event in events:
        if event["event"] == state.begins:
            begun = begun or event
        elif event["event"] == state.ends and begun is not None:
            intervals.append(Interval(begun["at_s"], event["at_s"], begun["reason"]))
            begun = None
    if begun is not None:
        intervals.append(Interval(begun["at_s"], events[-1]["at_s"], begun["reason"], ended=False))
    return intervals


def _check_scene(result: SceneResult) -> DemoCheck:
    best = max((d["score"] for d in result.decisions if "score" in d), default=None)
    seen = "no face decided on" if best is None else f"best score {best:.3f}"
    return DemoCheck(result.scene.title, result.as_expected, f"{seen}, door {result.door}")


def _check_pins(
    results: Sequence[SceneResult],
    events: Sequence[dict[str, Any]],
    recogniser: Sequence[dict[str, Any]],
    alarms: Sequence[Interval],
) -> list[DemoCheck]:
    """Check the PINs of masked people; `alarms` are the silent ones."""
    waits = [
        (one.asked["at_s"], one.unlocks[0]["at_s"])
        for one in results
        if one.asked is not None and one.unlocks
    ]

    def in_a_wait(at_s: float) -> bool:
        return any(since < at_s < until for since, until in waits)

    wrong = [e["at_s"] for e in events if e.get("reason") == "wrong-pin"]
    is_refused = len(wrong) == 1 and in_a_wait(wrong[0])
    is_opened = len(alarms) == 1 and in_a_wait(alarms[0].start_s)
    is_silent = not any(_SECRET in str(value) for e in recogniser for value in e.values())
    where = "in the door's record only" if is_silent else "also in the recogniser's log"
    return [
        DemoCheck(
            "Wrong PIN",
            is_refused,
            ", ".join(f"refused at {at_s:.1f} s" for at_s in wrong) or "not refused",
        ),
        DemoCheck(
            "Duress PIN: silent alarm",
            is_opened and is_silent and alarms[0].ended,
            f"{_times(alarms)}, {where}",
        ),
    ]


def _check_door(
    events: Sequence[dict[str, Any]], states: dict[DoorState, list[Interval]], *, grants: int
) -> list[DemoCheck]:
    """Check the door outside of scenes; `grants` is the number of openings by grants in scenes."""

    def reasons(event: str) -> list[str]:
        return [e["reason"] for e in events if e["event"] == event]

    def once(state: DoorState) -> bool:
        return [interval.ended for interval in states[state]] == [True]

    fires = states[FIRE]
    by_fire = [interval for interval in states[OPEN] if interval.reason == "fire"]
    refusals = [e for e in events if e["event"] == "refused" and "operator" in e]
    during_fire = [e for e in refusals if any(f.start_s < e["at_s"] < f.end_s for f in fires)]
    resets = [e["reason"] for e in during_fire]
    openings, is_refused = sorted(reasons("unlocked")), "lockdown" in reasons("refused")
    return [
        DemoCheck("Lockdown", once(LOCKDOWN) and is_refused, _times(states[LOCKDOWN])),
        DemoCheck(
            "Alarm: held open",
            reasons("alarm") == reasons("alarm-ended") == ["held-open"],
            _times(states[ALARM]),
        ),
        DemoCheck(
            "Fire opens, until reset",
            once(FIRE) and [interval.end_s >= fires[0].end_s for interval in by_fire] == [True],
            _times(by_fire),
        ),
        DemoCheck(
            "Reset during fire",
            len(resets) == 1,
            f"refused: {resets[0]}" if resets else "not refused",
        ),
        DemoCheck(
            "No other opening",
            openings == ["fire"] + ["grant"] * grants,
            f"opened by {', '.join(openings)}",
        ),
        DemoCheck(
            "Locked at the end",
            all(interval.ended for interval in states[OPEN]),
            f"open last {_times(states[OPEN][-1:])}",
        ),
    ]


def _times(intervals: Sequence[Interval]) -> str:
    return (
        ", ".join(f"{interval.start_s:.1f} to {interval.end_s:.1f} s" for interval in intervals)
        or "never"
    )


def summary(outcome: DemoOutcome) -> str:
    """Return one line per check."""
    return "\n".join(
        f"  {'ok  ' if check.passed else 'FAIL'} {check.title:28} {check.detail}"
        for check in outcome.checks
    )
