"""Is it a living face before the camera? Layers that must all agree, over the very frames that vote.

Each layer sees every usable frame of one track and answers for it. Answers are joined by AND: one that fails refuses, one
that waits makes the person wait, and votes that were cast before a layer was satisfied do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge.chip import align
from edge.face.quality import pose_of
from edge.values import Answer, Face, Pose, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Answer", "Layer", "Liveness", "Look", "State", "join", "look_at"]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One usable frame of one track."""

    at: float  # monotonic seconds of the frame
    image: NDArray[np.uint8]  # the whole frame (H,W,3) BGR
    face: Face
    chip: NDArray[np.uint8]  # (112,112,3) BGR
    pose: Pose


def look_at(image: NDArray[np.uint8], face: Face, at: float) -> Look:
    """What the layers see of a face in a frame (H,W,3) uint8 BGR."""
    return Look(at, image, face, align(image, face.landmarks_xy), pose_of(face.landmarks_xy))


class Layer(Protocol):
    """What one layer knows of one track."""

    name: str

    def look(self, look: Look) -> None:
        """Take one more frame into account; frames come in order of time."""

    def answer(self, at: float, *, unsure: bool) -> Answer:
        """What it says now; `unsure` where the score lies in between, for layers that ask only then."""


class Liveness:
    """All layers of all tracks. Without layers every answer is PASSED, and records say "no PAD"."""

    def __init__(self, layers: Sequence[Callable[[], Layer]]) -> None:
        self._make = tuple(layers)
        self._tracks: dict[int, list[Layer]] = {}

    def look(self, track: int, look: Look) -> None:
        for layer in self._layers(track):
            layer.look(look)

    def answers(self, track: int, at: float, *, unsure: bool) -> dict[str, Answer]:
        """By the name of the layer; empty where there are none."""
        return {layer.name: layer.answer(at, unsure=unsure) for layer in self._layers(track)}

    def keep(self, tracks: Iterable[int]) -> None:
        """Forget all other tracks."""
        alive = set(tracks)
        self._tracks = {track: layers for track, layers in self._tracks.items() if track in alive}

    def _layers(self, track: int) -> list[Layer]:
        if track not in self._tracks:
            self._tracks[track] = [make() for make in self._make]
        return self._tracks[track]


def join(answers: Mapping[str, Answer]) -> Answer:
    """All layers as one: the first that fails, else the first that waits, else passed."""
    for state in (State.FAILED, State.WAITING):
        for name, answer in answers.items():
            if answer.state is state:
                return Answer(state, answer.reason or name, answer.since)
    return Answer(
        State.PASSED, since=max((answer.since for answer in answers.values()), default=-math.inf)
    )
