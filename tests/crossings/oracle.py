"""Oracle that judges every grant by the truth of the scene, not by the pipeline's rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.values import FaceResult, Verdict, Zone
from tests.crossings.scene import WIDTH, Kind, Person, Scene, draw_scene, visible
from tests.crossings.world import World

_REMEMBERED_S = 1.0  # a person who was detected this recently still counts as present
_TOLERANCE = 1.03  # ratio of widths within which either of two faces is the nearest


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one scene."""

    grants: int
    deserved: int  # living enrolled people in the scene
    faults: tuple[str, ...]


def cross(
    scene: Scene,
    *,
    nearest_only: bool | None = None,
    zone: Zone | None = None,
    has_liveness: bool = True,
) -> Outcome:
    """Run a scene; the arguments weaken the pipeline, not the oracle, to show its power."""
    world = World(
        scene,
        nearest_only=scene.nearest_only if nearest_only is None else nearest_only,
        zone=scene.zone if zone is None else zone,
        has_liveness=has_liveness,
    )
    grants, faults = 0, []
    while world.at < scene.seconds:
        for seen in world.step():
            if seen.decision.verdict is Verdict.GRANT:
                grants += 1
                faults += [f"{scene.seed} at {world.at:.2f} s: {why}" for why in judge(world, seen)]
    faults += [f"{scene.seed}: {why}" for why in _mixed_evidence(world)]
    living = sum(person.kind is Kind.ENROLLED for person in scene.people)
    return Outcome(grants, living, tuple(faults))


def cross_many(seed: int, numbers: Iterable[int]) -> Iterable[Outcome]:
    """Run scenes of a seed by their numbers."""
    return (cross(draw_scene(seed, number)) for number in numbers)


def judge(world: World, seen: FaceResult) -> list[str]:
    """Return why a grant is wrong; empty if it is right."""
    scene, match = world.scene, seen.decision.match
    person = world.person_of(seen.face)
    if match is None or person is None:
        return ["a grant for a face that is not in the frame"]
    faults = []
    if person.subject != match.subject:
        faults.append(f"{match.subject} granted for {person.kind.value} {person.number}")
    if person.kind is Kind.PHOTO:
        faults.append(f"a photo of {match.subject} granted")
    x, width = next((x, w) for p, x, w in visible(scene, world.at) if p is person)
    if not _is_inside(scene.zone, x):
        faults.append(f"{match.subject} granted outside the zone")
    if scene.nearest_only and (nearer := _nearer(world, person, width)):
        faults.append(f"{match.subject} granted behind {', '.join(nearer)}")
    return faults


def _nearer(world: World, person: Person, width: float) -> list[str]:
    """List people nearer in the zone, by the detector's newest finding within a second."""
    found = []
    for other, _, now_width in visible(world.scene, world.at):
        at, face = world.detected.get(other.number, (float("-inf"), None))
        if other is person or face is None or world.at - at > _REMEMBERED_S:
            continue
        is_wider = min(now_width, face.width_px) > _TOLERANCE * width
        if is_wider and _is_inside(world.scene.zone, float(face.box_xyxy[[0, 2]].mean())):
            found.append(f"{other.kind.value} {other.number}")
    return found


def _is_inside(zone: Zone, x: float) -> bool:
    return zone[0] <= x / WIDTH <= zone[2]


def _mixed_evidence(world: World) -> list[str]:
    """List layers whose evidence came from more than one person."""
    return [
        f"evidence of persons {sorted(persons)} in one layer"
        for persons in world.evidence.values()
        if len(persons) > 1
    ]
