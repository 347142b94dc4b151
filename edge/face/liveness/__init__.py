"""Presentation attack detection (PAD) in layers that must all pass, over the voting frames.

A layer gets the frames of one track that passed the quality gate and were identified as the
track's subject. A failed layer refuses the person, a waiting layer makes the person wait, and votes
from before a layer passed do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from edge.chip import align
from edge.face.quality import estimate_pose
from edge.values import Face, LivenessResult, LivenessState, Pose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LivenessChecker",
    "LivenessFrame",
    "LivenessLayer",
    "LivenessResult",
    "LivenessState",
    "crop_frame",
    "join_results",
]


_GAP_S = 1.0  # evidence is void after this time without an identified frame


@dataclass(frozen=True, slots=True, eq=False)
class LivenessFrame:
    """Usable frame of a track."""

    at: float  # monotonic seconds of the frame
    image: NDArray[np.uint8]  # complete frame (H,W,3) BGR
    face: Face
    chip: NDArray[np.uint8]  # (112,112,3) BGR
    pose: Pose


def crop_frame(image: NDArray[np.uint8], face: Face, at: float) -> LivenessFrame:
    """Align a face of a frame (H,W,3) uint8 BGR, and estimate its pose."""
    return LivenessFrame(
        at, image, face, align(image, face.landmarks_xy), estimate_pose(face.landmarks_xy)
    )


class LivenessLayer(Protocol):
    """Liveness layer of a track."""

    name: str

    def observe(self, frame: LivenessFrame) -> None:
        """Add one frame; frames come in order of time."""

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        """Return the present result.

        `near_threshold`: the score is uncertain; some layers request a response only then.
        """


@dataclass(slots=True)
class _Evidence:
    """Evidence of one track: identified frames of one subject, without a gap."""

    subject: str
    since: float  # first frame
    newest: float
    embedding: NDArray[np.float32]  # (D,) unit norm, of the newest frame


class LivenessChecker:
    """Runs the layers of every track. Without layers each answer is PASSED ("no PAD" in records).

    Evidence belongs to one subject: another subject, or `_GAP_S` without a frame in which the
    face was identified, makes all layers of the track start again. Votes from before the evidence
    began do not count.
    """

    def __init__(self, layers: Sequence[Callable[[], LivenessLayer]]) -> None:
        self._make = tuple(layers)
        self._tracks: dict[int, list[LivenessLayer]] = {}
        self._evidence: dict[int, _Evidence] = {}

    def update_layers(self, layers: Sequence[Callable[[], LivenessLayer]]) -> None:
        """Use other layers for new tracks, and for others once their evidence is void."""
        self._make = tuple(layers)

    def observe(
        self, track: int, frame: LivenessFrame, subject: str, embedding: NDArray[np.float32]
    ) -> None:
        """Feed one frame, in which the face (D,) was identified as `subject`, to all layers."""
        known = self._current(track, frame.at)
        if known is None or known.subject != subject:
            if known is not None:
                self._forget(track)
            known = self._evidence[track] = _Evidence(subject, frame.at, frame.at, embedding)
        known.newest, known.embedding = frame.at, embedding
        for layer in self._layers(track):
            layer.observe(frame)

    def is_continuation(
        self, track: int, at: float, subject: str, embedding: NDArray[np.float32], least: float
    ) -> bool:
        """Return True if a face (D,) continues the evidence of a track.

        The evidence must be of the same subject, with a cosine of at least `least` to the face.
        """
        known = self._current(track, at)
        if known is None or known.subject != subject:
            return False
        return float(known.embedding @ embedding) >= least

    def results(self, track: int, at: float, *, near_threshold: bool) -> dict[str, LivenessResult]:
        """Return the answer of each layer by its name; empty if there are no layers."""
        known = self._current(track, at)
        since = -math.inf if known is None else known.since
        found = {
            layer.name: layer.result(at, near_threshold=near_threshold)
            for layer in self._layers(track)
        }
        return {
            name: replace(answer, since=max(answer.since, since)) for name, answer in found.items()
        }

    def retain_tracks(self, tracks: Iterable[int]) -> None:
        """Forget all tracks except these."""
        for track in {*self._tracks, *self._evidence} - set(tracks):
            self._forget(track)

    def _current(self, track: int, at: float) -> _Evidence | None:
        """Return the evidence of a track; after a gap forget it and its layers."""
        known = self._evidence.get(track)
        if known is not None and at - known.newest > _GAP_S:
            self._forget(track)
            return None
        return known

    def _forget(self, track: int) -> None:
        self._tracks.pop(track, None)
        self._evidence.pop(track, None)

    def _layers(self, track: int) -> list[LivenessLayer]:
        if track not in self._tracks:
            self._tracks[track] = [make() for make in self._make]
        return self._tracks[track]


def join_results(answers: Mapping[str, LivenessResult]) -> LivenessResult:
    """Join the results of all layers: the first that failed, else that waits, else passed."""
    for state in (LivenessState.FAILED, LivenessState.WAITING):
        for answer in answers.values():
            if answer.state is state:
                return LivenessResult(state, answer.reason, answer.since)
    return LivenessResult(
        LivenessState.PASSED,
        since=max((answer.since for answer in answers.values()), default=-math.inf),
    )
