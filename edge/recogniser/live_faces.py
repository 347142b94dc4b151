"""Faces of the live view: the newest box and decision of each track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edge.access.reasons import Reason
from edge.values import Decision, Face, FaceResult, Verdict

_DECISION_S = 1.5  # a decided track is examined once a second
_UNSEEN_S = 0.3  # a face without a result is shown for this time and the search interval


@dataclass(frozen=True, slots=True)
class ShownFace:
    """Newest box and decision of one track."""

    track: int
    face: Face
    decision: Decision
    progress: float  # of the vote, 0..1
    seen_at: float  # monotonic seconds of the box
    decided_at: float  # monotonic seconds of the decision


class LiveFaces:
    """Joins the results of successive frames: not every face has a decision in every frame."""

    def __init__(self, search_interval_s: float) -> None:
        self._faces: dict[int, ShownFace] = {}
        self._unseen_s = _UNSEEN_S + search_interval_s

    def update_interval(self, search_interval_s: float) -> None:
        """Apply another interval of full-frame searches."""
        self._unseen_s = _UNSEEN_S + search_interval_s

    def update(self, results: Iterable[FaceResult], at: float) -> tuple[ShownFace, ...]:
        """Return the faces to show after a frame of monotonic time `at`."""
        for result in results:
            self._faces[result.track] = self._join(self._faces.get(result.track), result, at)
        self._faces = {
            track: face
            for track, face in self._faces.items()
            if at - face.seen_at <= self._unseen_s
        }
        return tuple(self._faces.values())

    def clear(self) -> None:
        """Forget all faces."""
        self._faces = {}

    def _join(self, known: ShownFace | None, result: FaceResult, at: float) -> ShownFace:
        decision = result.decision
        is_recent = known is not None and at - known.decided_at <= _DECISION_S
        if known is None or not is_recent:
            return ShownFace(result.track, result.face, decision, decision.progress, at, at)
        if decision.reason is Reason.SKIPPED:
            return replace(known, face=result.face, seen_at=at)
        progress = decision.progress
        if decision.verdict is Verdict.REFUSED:  # one poor frame does not end the vote
            progress = max(progress, known.progress)
        return ShownFace(result.track, result.face, decision, progress, at, at)
