"""Clips to rehearse, with the people who must, may or must not be granted access."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.camera.replay import ReplayCamera, native_fps
from edge.rehearsal.door_script import DoorScript

Image = NDArray[np.uint8]  # (H,W,3) BGR


@dataclass(frozen=True, slots=True)
class VisiblePerson:
    """Face that was drawn into a frame."""

    person: str
    centre_xy: tuple[float, float]  # of the face, pixels


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """Frame of a clip; `present` is None if the people in it are not known."""

    image: Image
    people: tuple[VisiblePerson, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExpectedGrants:
    """People who must or may be granted access in a clip, all others must not; answers."""

    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    answers: tuple[str, ...] = ()  # of the door, in order; empty: not compared

    def __str__(self) -> str:
        if self.answers:
            return ", ".join(self.answers)
        parts = [
            f"{word} {', '.join(sorted(people))}"
            for word, people in (("grants", self.must), ("may grant", self.may))
            if people
        ]
        return "; ".join(parts) or "grants no one"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames at a pace, which can be played repeatedly."""

    name: str
    description: str  # one line of what it shows
    fps: float
    play: Callable[[], Iterator[ClipFrame]]
    expected: ExpectedGrants  # of living people
    frames: int | None = None  # None if not known before the end
    spoof: bool = False  # a presentation attack without a living person
    drawn: bool = False  # made of photos, even if it shows living people
    script: DoorScript | None = None  # None: only the recogniser decides

    def expected_of(self, *, liveness: bool) -> ExpectedGrants:
        """Return the expected grants with or without liveness layers.

        With them an attack must not be granted, and a drawn clip may be refused.
        """
        if liveness and self.spoof:
            return ExpectedGrants()
        if liveness and self.drawn:
            return ExpectedGrants(may=self.expected.must | self.expected.may)
        return self.expected


def recorded_clip(
    path: Path,
    fps: float,
    person: str | None = None,
    script: DoorScript | None = None,
    answers: tuple[str, ...] = (),
) -> Clip:
    """Return a folder of pictures at `fps`, or a GIF or video at its own pace.

    `person` is in it, or only strangers if None. `answers` are expected of the door of `script`.
    Playing it raises CameraError.
    """
    pace = native_fps(path) or fps

    def play() -> Iterator[ClipFrame]:
        with contextlib.closing(ReplayCamera(path, fps=pace, paced=False)) as camera:
            while (frame := camera.read()) is not None:
                yield ClipFrame(frame.image)

    expected = ExpectedGrants(must=frozenset({person} if person else ()), answers=answers)
    return Clip(
        path.name,
        f"recorded, {f'with {person}' if person else 'strangers only'}",
        pace,
        play,
        expected,
        script=script,
    )
