"""Scripted people who cross the picture of one camera. Everything follows from one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

WIDTH, HEIGHT = 640, 320  # pixels of the picture
ENROLLED = 6  # subjects of the gallery
_STRANGERS = 4
DIMENSION = 32


class Kind(str, Enum):
    """Kind of face in front of the camera."""

    ENROLLED = "enrolled"
    STRANGER = "stranger"
    PHOTO = "photo"  # of an enrolled person, held by a person whose own face is not seen


@dataclass(frozen=True, slots=True)
class Appearance:
    """Passage of a person through the picture; position and width change linearly."""

    begin: float
    end: float
    x: tuple[float, float]  # of the face's centre, pixels
    width: tuple[float, float]  # of the face, pixels

    def at(self, seconds: float) -> tuple[float, float] | None:
        """Return centre and width of the face, None if the person is out of view."""
        if not self.begin <= seconds <= self.end:
            return None
        share = (seconds - self.begin) / (self.end - self.begin)
        (x0, x1), (w0, w1) = self.x, self.width
        return x0 + share * (x1 - x0), w0 + share * (w1 - w0)


@dataclass(frozen=True, slots=True)
class Person:
    """Scripted person."""

    number: int  # within the scene; drawn into the pixels of the face
    kind: Kind
    identity: int  # subjects of the gallery come first
    masked: bool
    appearances: tuple[Appearance, ...]
    turned: tuple[float, float]  # start and end of the head being turned too far to be used
    poor_until: float  # seconds after the first appearance with embeddings below the threshold

    @property
    def subject(self) -> str | None:
        """Return the name in the gallery, None for a stranger."""
        return subject(self.identity) if self.identity < ENROLLED else None

    def at(self, seconds: float) -> tuple[float, float] | None:
        """Return centre and width of the face, None if the person is out of view."""
        return next((now for one in self.appearances if (now := one.at(seconds))), None)

    def is_poor(self, seconds: float) -> bool:
        """Return True while the embedding is too poor to be recognised."""
        return seconds < self.appearances[0].begin + self.poor_until

    def is_turned(self, seconds: float) -> bool:
        """Return True while the head is turned away."""
        return self.turned[0] <= seconds < self.turned[1]


@dataclass(frozen=True, slots=True)
class Scene:
    """Camera's view with its people, and the configuration of the terminal."""

    people: tuple[Person, ...]
    seconds: float
    fps: float
    nearest_only: bool
    zone: tuple[float, float, float, float]
    search_interval_s: float
    budget: int
    votes: int
    miss: float  # probability that the detector misses a face in a frame
    seed: tuple[int, int] = field(default=(0, 0))
    camera: int = 0  # number among several cameras
    begin: float = 0.0  # seconds of the first frame
    likeness: float = 1.0  # cosine of embeddings to the template; the rest is the camera's own


def subject(identity: int) -> str:
    """Return the name of an enrolled identity."""
    return f"subject-{identity}"


def draw_scene(seed: int, number: int) -> Scene:
    """Draw a scene of two to five people; the same seed and number give the same scene."""
    rng = np.random.default_rng((seed, number))
    seconds = float(rng.uniform(2.5, 5.0))
    drawn = rng.choice(len(Kind), size=rng.integers(2, 6), p=[0.5, 0.3, 0.2])
    kinds = [list(Kind)[index] for index in drawn]
    identities = _identities(rng, kinds)
    people = tuple(
        _draw_person(rng, i, kind, identity, seconds)
        for i, (kind, identity) in enumerate(zip(kinds, identities, strict=True))
    )
    left = float(rng.choice([0.0, 0.2, 0.3]))
    return Scene(
        people,
        seconds,
        fps=float(rng.choice([10, 15, 20])),
        nearest_only=bool(rng.random() < 0.6),
        zone=(left, 0.0, float(rng.choice([0.7, 0.8, 1.0])), 1.0),
        search_interval_s=float(rng.choice([0.0, 0.2, 0.2, 0.5])),
        budget=int(rng.integers(1, 4)),
        votes=int(rng.choice([1, 3, 3, 4])),
        miss=float(rng.choice([0.0, 0.05, 0.2])),
        seed=(seed, number),
    )


def _identities(rng: np.random.Generator, kinds: list[Kind]) -> list[int]:
    """Give each person another identity: a photo's subject is never present alive as well."""
    enrolled = iter(rng.permutation(ENROLLED).tolist())
    strangers = iter((ENROLLED + rng.permutation(max(_STRANGERS, len(kinds)))).tolist())
    return [next(strangers if kind is Kind.STRANGER else enrolled) for kind in kinds]


def _draw_person(
    rng: np.random.Generator, number: int, kind: Kind, identity: int, seconds: float
) -> Person:
    begin = float(rng.uniform(0, seconds / 2))
    end = float(rng.uniform(begin + 0.8, seconds + 0.5))
    first = _draw_appearance(rng, begin, end)
    appearances: tuple[Appearance, ...] = (first,)
    if rng.random() < 0.3 and end + 0.3 < seconds:  # comes back, sometimes within the second
        again = float(rng.uniform(end + 0.1, seconds - 0.1))
        appearances += (_draw_appearance(rng, again, seconds + 0.5),)
    turned_at = float(rng.uniform(begin, seconds))
    return Person(
        number,
        kind,
        identity,
        masked=bool(rng.random() < 0.25),
        appearances=appearances,
        turned=(turned_at, turned_at + float(rng.choice([0.0, 0.0, 0.4, 1.3]))),
        poor_until=float(rng.choice([0.0, 0.0, 0.3])),
    )


def _draw_appearance(rng: np.random.Generator, begin: float, end: float) -> Appearance:
    x0 = float(rng.uniform(40, WIDTH - 40))
    x1 = float(np.clip(x0 + rng.normal(0, 120), 20, WIDTH - 20))
    near = float(rng.uniform(64, 150))
    far = near / float(rng.uniform(1.0, 1.5))
    return Appearance(begin, end, (x0, x1), (max(56.0, far), max(56.0, near)))


def visible(scene: Scene, seconds: float) -> list[tuple[Person, float, float]]:
    """List persons with centre and width whose faces no nearer face covers, nearest first."""
    present = [(person, now) for person in scene.people if (now := person.at(seconds))]
    present.sort(key=lambda one: -one[1][1])
    free: list[tuple[Person, float, float]] = []
    for person, (x, width) in present:
        if all(math.fabs(x - x2) > 0.55 * (width + w2) for _, x2, w2 in free):
            free.append((person, x, width))
    return free
