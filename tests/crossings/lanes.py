"""Random crossings of two lanes side by side: each camera sees the people of the other lane too.

People walk towards the cameras in a plan in metres; the pictures of both cameras follow from it.
One camera may see a person later or at another size for some frames. Each lane has a recogniser
and a door in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.door.controller import Controller, OperatorCommand
from edge.door.timing import DoorTiming
from edge.recogniser.lane_faces import LaneFaceFiles
from edge.recogniser.lane_guard import LaneGuard
from edge.values import FaceResult, Grant, Verdict
from tests.crossings.scene import (
    DIMENSION,
    ENROLLED,
    WIDTH,
    Appearance,
    Kind,
    Person,
    Scene,
)
from tests.crossings.world import World

LANES = 2
_FOCAL_PX, _FACE_M = 500.0, 0.16
_STEP_S = 0.05  # of the path of a person
_NEAR_M, _FAR_M = 0.45, 2.0  # distance at which a person leaves and enters the pictures
_MIN_FACE_PX = 60
_TIMING = DoorTiming(3.0, 10.0, 3.0, 30.0, "timeout", 120.0, False)
_BETWEEN = 0.15  # share of the distance of the lanes around the middle that belongs to both


@dataclass(frozen=True, slots=True)
class Walker:
    """Path of a person: straight to one lane, or over to the other one on the way."""

    begin: float
    seconds: float  # from the far to the near distance
    x: tuple[float, ...]  # metres from the left camera, at equal steps of time

    def at(self, seconds: float) -> tuple[float, float] | None:
        """Return position and distance in metres, None outside the pictures."""
        share = (seconds - self.begin) / self.seconds
        if not 0 <= share <= 1:
            return None
        steps = np.linspace(0, 1, len(self.x))
        return float(np.interp(share, steps, self.x)), _FAR_M + share * (_NEAR_M - _FAR_M)


@dataclass(frozen=True, slots=True)
class LaneScene:
    """Scene of two lanes with the views of their cameras."""

    walkers: tuple[Walker, ...]
    spacing: float  # metres between the cameras
    views: tuple[Scene, Scene]
    locked: int | None  # lane whose door refuses all grants


@dataclass(frozen=True, slots=True)
class LaneOutcome:
    """Outcome of one scene."""

    grants: int  # at the right lane
    deserved: int  # people who walk through a lane whose door opens
    faults: tuple[str, ...]


def draw_lane_scene(seed: int, number: int) -> LaneScene:
    """Draw a scene of one to three people; the same seed and number give the same scene."""
    rng = np.random.default_rng((seed, number, LANES))
    spacing = float(rng.uniform(0.5, 0.9))
    count = int(rng.integers(1, 4))
    identities = rng.permutation(ENROLLED)[:count].tolist()
    walkers = tuple(_draw_walker(rng, spacing, 0.9 * i) for i in range(count))
    likeness = float(rng.uniform(0.65, 1.0))
    turn_px = float(rng.normal(0, 30))  # of the cameras to each other
    first, second = (
        _draw_view(rng, walkers, identities, lane * spacing, turn_px * (1 - 2 * lane))
        for lane in range(LANES)
    )
    ends = max(walker.begin + walker.seconds for walker in walkers) + 0.5
    common = {"seconds": ends, "likeness": likeness, "seed": (seed, number)}
    views = (replace(first, camera=0, **common), replace(second, camera=1, **common))
    locked = int(rng.integers(LANES)) if rng.random() < 0.1 else None
    return LaneScene(walkers, spacing, views, locked)


def _draw_walker(rng: np.random.Generator, spacing: float, begin: float) -> Walker:
    lane = int(rng.integers(LANES))
    own, other = lane * spacing, (1 - lane) * spacing
    sway = rng.normal(0, 0.05 * spacing, 4)
    path = np.full(4, own)
    if rng.random() < 0.2:  # begins before the other lane
        path[:2] = other, (own + other) / 2
    return Walker(
        begin + float(rng.uniform(0, 0.6)),
        float(rng.uniform(1.6, 3.0)),
        tuple((path + sway).tolist()),
    )


def _draw_view(
    rng: np.random.Generator,
    walkers: tuple[Walker, ...],
    identities: list[int],
    camera_m: float,
    turn_px: float,
) -> Scene:
    focal = _FOCAL_PX * float(rng.uniform(0.9, 1.1))
    people = []
    for number, (walker, identity) in enumerate(zip(walkers, identities, strict=True)):
        late = float(rng.choice([0.0, 0.0, 0.1, 0.2]))
        enlarged = (float(rng.uniform(0, 3)), float(rng.uniform(1.0, 1.8)))
        shown = _project(walker, camera_m, focal, turn_px, late, enlarged)
        people.append(Person(number, Kind.ENROLLED, identity, False, shown, (0.0, 0.0), 0.0))
    zone = (0.0, 1.0) if rng.random() < 0.7 else (0.15, 0.85)
    return Scene(
        tuple(people),
        0.0,
        fps=float(rng.choice([10, 15, 20])),
        nearest_only=bool(rng.random() < 0.3),
        zone=(zone[0], 0.0, zone[1], 1.0),
        search_interval_s=float(rng.choice([0.0, 0.2])),
        budget=2,
        votes=3,
        miss=float(rng.choice([0.0, 0.05, 0.1])),
        begin=float(rng.uniform(0, 0.1)),
    )


def _project(
    walker: Walker,
    camera_m: float,
    focal: float,
    turn_px: float,
    late: float,
    enlarged: tuple[float, float],
) -> tuple[Appearance, ...]:
    """Return the face of a walker in the picture of a camera; larger for 0.15 s."""
    found = []
    at, factor = enlarged
    for begin in np.arange(walker.begin + late, walker.begin + walker.seconds, _STEP_S):
        x, width = [], []
        for moment in (begin, begin + _STEP_S):
            metres, distance = walker.at(min(moment, walker.begin + walker.seconds)) or (0, 1)
            x.append(WIDTH / 2 + turn_px + focal * (metres - camera_m) / distance)
            grown = factor if at <= moment - walker.begin < at + 0.15 else 1.0
            width.append(grown * focal * _FACE_M / distance)
        if all(15 < one < WIDTH - 15 for one in x):
            found.append(
                Appearance(float(begin), float(begin) + _STEP_S, (x[0], x[1]), (width[0], width[1]))
            )
    return tuple(found)


class _Lane:
    """Recogniser and door of one lane."""

    def __init__(self, scene: LaneScene, lane: int, guard: LaneGuard | None) -> None:
        view = scene.views[lane]
        self.lane, self._scene = lane, scene
        self.world = World(view, nearest_only=view.nearest_only, zone=view.zone, guard=guard)
        self._door = Controller(_TIMING)
        if scene.locked == lane:
            self._door.execute(OperatorCommand.LOCKDOWN, 0.0)
        self.unlocked: list[tuple[float, FaceResult]] = []

    @property
    def next_at(self) -> float:
        return self.world.at + 1 / self.world.scene.fps

    def step(self) -> None:
        """Show the next frame; request the door to unlock for each grant."""
        for seen in self.world.step():
            match = seen.decision.match
            if seen.decision.verdict is not Verdict.GRANT or match is None:
                continue
            now = self.world.at
            grant = Grant(
                secrets.token_hex(4), match.subject, 1, self.world.at, f"lane-{self.lane}"
            )
            if self._door.check(grant, now) is None:
                self._door.unlock(grant, now)
                self.unlocked.append((now, seen))
            else:
                self.world.pipeline.revoke_grant(seen.track, match.subject, 1.0)


def cross_lanes(scene: LaneScene, folder: Path, *, is_guarded: bool = True) -> LaneOutcome:
    """Run a scene with the files of the lanes in a folder."""
    lanes = []
    for lane in range(LANES):
        guard = None
        if is_guarded:
            files = LaneFaceFiles(folder, f"lane-{lane}", "ab" * 32, DIMENSION)
            guard = LaneGuard(files, cooldown_s=2.0)
        lanes.append(_Lane(scene, lane, guard))
    while any(lane.world.at < scene.views[0].seconds for lane in lanes):
        min(lanes, key=lambda lane: lane.next_at).step()
    for path in folder.glob("*.faces"):
        path.unlink()
    return _judge(scene, lanes)


def _judge(scene: LaneScene, lanes: Iterable[_Lane]) -> LaneOutcome:
    grants, faults = 0, []
    for lane in lanes:
        for at, seen in lane.unlocked:
            number = _person_of(scene, seen)
            if number is None or not _is_at_lane(scene, number, lane.lane, at):
                found = lane.world.scene.seed
                faults.append(f"{found} at {at:.2f} s: person {number} at lane {lane.lane}")
            else:
                grants += 1
    deserved = sum(_goal(scene, walker) != scene.locked for walker in scene.walkers)
    return LaneOutcome(grants, deserved, tuple(faults))


def _person_of(scene: LaneScene, seen: FaceResult) -> int | None:
    match = seen.decision.match
    subjects = [person.subject for person in scene.views[0].people]
    return subjects.index(match.subject) if match and match.subject in subjects else None


def _goal(scene: LaneScene, walker: Walker) -> int:
    return round(walker.x[-1] / scene.spacing)


def _is_at_lane(scene: LaneScene, number: int, lane: int, at: float) -> bool:
    """Return True if a person is nearer to a lane, or between the lanes."""
    here = scene.walkers[number].at(at)
    metres = scene.walkers[number].x[-1] if here is None else here[0]
    share = metres / scene.spacing if lane == 1 else 1 - metres / scene.spacing
    return share >= 0.5 - _BETWEEN
