"""What is rehearsed: a clip, and who may, must or must never be let in while it plays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.camera.replay import ReplayCamera, native_fps

Image = NDArray[np.uint8]  # (H,W,3) BGR


@dataclass(frozen=True, slots=True)
class VisiblePerson:
    """Whose face is to be seen where in a frame, known because it was drawn there."""

    person: str
    centre_xy: tuple[float, float]  # of the face, pixels


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """One frame of a clip; `present` is None where nobody wrote down who is in it."""

    image: Image
    present: tuple[VisiblePerson, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExpectedGrants:
    """Whom a clip's frames must let in, and whom they may; all others never."""

    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()

    def __str__(self) -> str:
        told = [
            f"{word} {', '.join(sorted(people))}"
            for word, people in (("grants", self.must), ("may grant", self.may))
            if people
        ]
        return "; ".join(told) or "grants nobody"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames at a pace, which can be played again and again."""

    name: str
    description: str  # one line of what it shows
    fps: float
    play: Callable[[], Iterator[ClipFrame]]
    expected: ExpectedGrants  # of living people
    frames: int | None = None  # None where only its end tells
    spoof: bool = False  # a presentation attack: nobody stands there
    drawn: bool = False  # made of photos, also where it shows living people

    def expected_of(self, *, liveness: bool) -> ExpectedGrants:
        """What must hold of a terminal with or without liveness layers.

        With them an attack must let nobody in, and they may see through what is only drawn.
        """
        if liveness and self.spoof:
            return ExpectedGrants()
        if liveness and self.drawn:
            return ExpectedGrants(may=self.expected.must | self.expected.may)
        return self.expected


def recorded_clip(path: Path, fps: float, person: str | None = None) -> Clip:
    """A folder of pictures at `fps`, or a GIF or video at its own pace; `person` is in it, or strangers only where None.

    Playing it raises CameraError where it cannot be read.
    """
    pace = native_fps(path) or fps

    def play() -> Iterator[ClipFrame]:
        with contextlib.closing(ReplayCamera(path, fps=pace, paced=False)) as camera:
            while (frame := camera.read()) is not None:
                yield ClipFrame(frame.image)

    expected = ExpectedGrants(must=frozenset({person} if person else ()))
    return Clip(
        path.name,
        f"recorded, {f'with {person}' if person else 'strangers only'}",
        pace,
        play,
        expected,
    )
