"""Result of a clip: decisions, their tracks, and whether the right people were granted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from edge.rehearsal.clips import Clip, ExpectedGrants, Image
from edge.rehearsal.door_script import OPENS, RequestResult, list_answers
from edge.system.text import format_count
from edge.values import Verdict


@dataclass(frozen=True, slots=True)
class FaceDecision:
    """Decision on one face in one frame."""

    at_s: float  # since the clip's first frame
    frame: int
    track: int
    verdict: str
    reason: str
    usable: bool  # no gate stopped it before the embedder
    embedded: bool
    subject: str | None  # None for an unknown face: its nearest subject is not its name
    score: float | None  # score, threshold and mask_worn: None without a comparison
    threshold: float | None
    mask_worn: float | None
    votes: int
    liveness: Mapping[str, str]  # result of each layer
    weight: float | None  # of its vote, by quality; None if no quality was measured
    box_xyxy: tuple[float, ...]
    person: str | None  # person whose face was drawn there; None if unknown

    @property
    def is_conclusive(self) -> bool:
        """Return True if the face was embedded or refused by a gate, not skipped."""
        return self.embedded or not self.usable


@dataclass(frozen=True, slots=True)
class TrackResult:
    """Decisions on one track."""

    track: int
    decisions: tuple[FaceDecision, ...]

    @property
    def decisive(self) -> FaceDecision:
        """Return the first grant, else the first moment of the most frequent verdict."""
        granted = next((m for m in self.decisions if m.verdict == Verdict.GRANT), None)
        if granted is not None:
            return granted
        embedded = [m for m in self.decisions if m.embedded] or self.decisions
        answer, _ = Counter((m.verdict, m.reason) for m in embedded).most_common(1)[0]
        return next(m for m in embedded if (m.verdict, m.reason) == answer)

    @property
    def decided_after_s(self) -> float | None:
        """Seconds from the first usable frame to the decision; None without a usable frame."""
        first = next((m for m in self.decisions if m.usable), None)
        return None if first is None else round(max(0.0, self.decisive.at_s - first.at_s), 3)

    @property
    def frames_used(self) -> int:
        """Number of frames embedded up to the decision."""
        return sum(m.embedded for m in self.decisions if m.frame <= self.decisive.frame)


@dataclass(frozen=True, slots=True, eq=False)
class ClipPicture:
    """Frame to show, with its decisions."""

    image: Image
    at_s: float
    decisions: tuple[FaceDecision, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RehearsalResult:
    """Result of a clip."""

    clip: Clip
    expected: ExpectedGrants
    frames: int
    decisions: tuple[FaceDecision, ...]  # in order of time
    pictures: dict[str, ClipPicture]  # by the reason for its selection
    requests: tuple[RequestResult, ...]  # at the door; none for a clip without a script

    @property
    def tracks(self) -> list[TrackResult]:
        tracks: dict[int, list[FaceDecision]] = {}
        for moment in self.decisions:
            tracks.setdefault(moment.track, []).append(moment)
        return [TrackResult(track, tuple(moments)) for track, moments in sorted(tracks.items())]

    @property
    def main_track(self) -> TrackResult | None:
        """Track granted first, else with the most embedded frames; None without a face."""
        return max(self.tracks, key=_prominence, default=None)

    @property
    def grants(self) -> list[FaceDecision]:
        return [m for m in self.decisions if m.verdict == Verdict.GRANT]

    @property
    def false_grants(self) -> list[FaceDecision]:
        """Grants to a person who must not be granted, or on another person's face.

        With a door it decides who is granted: then only grants on another person's face.
        """
        allowed = self.expected.must | self.expected.may
        return [
            m
            for m in self.grants
            if m.person not in (None, m.subject)
            or (self.clip.script is None and m.subject not in allowed)
        ]

    @property
    def openings(self) -> list[RequestResult]:
        return [request for request in self.requests if request.outcome == OPENS]

    @property
    def answers(self) -> tuple[str, ...]:
        """Answers of the door in order; repeated ones count once."""
        return list_answers(self.requests)

    @property
    def has_expected_answers(self) -> bool:
        return self.expected.answers in ((), self.answers)

    @property
    def false_openings(self) -> list[RequestResult]:
        """Openings of the door for a person who must not be granted."""
        allowed = self.expected.must | self.expected.may
        return [opening for opening in self.openings if opening.person not in allowed]

    @property
    def best_match(self) -> FaceDecision | None:
        """Decision with the highest score; None without a comparison."""
        scored = [m for m in self.decisions if m.score is not None]
        return max(scored, key=lambda m: m.score or -1.0, default=None)

    @property
    def missed(self) -> list[str]:
        """Subjects that must be granted and were not."""
        false = self.false_grants
        right = {m.subject for m in self.grants if m not in false}
        if self.clip.script is not None:
            right = {opening.person for opening in self.openings}
        return sorted(self.expected.must - right)

    @property
    def passed(self) -> bool:
        is_false = bool(self.false_grants or self.false_openings or self.missed)
        return not is_false and self.has_expected_answers

    @property
    def decision(self) -> str:
        """Decision in words; that of the door if there is one."""
        if self.expected.answers:
            return ", ".join(self.answers) or "no answer"
        if self.requests:
            last = (self.openings or self.requests)[-1]
            return f"{last.outcome}: {last.detail or last.person}"
        granted = sorted({str(m.subject) for m in self.grants})
        if granted:
            return f"grant: {', '.join(granted)}"
        return (
            "no face"
            if self.main_track is None
            else f"{self.main_track.decisive.verdict}: {self.main_track.decisive.reason}"
        )

    @property
    def expectation(self) -> str:
        """Expected grants in words; for an attack that may be granted, that PAD is missing."""
        opens = self.clip.spoof and (self.expected.must or self.expected.may)
        return "opens: no PAD" if opens else str(self.expected)

    @property
    def warnings(self) -> list[str]:
        """Reasons why the result of a recording is not meaningful."""
        if self.clip.drawn or self.clip.spoof:
            return []
        return self._warn_unusable() or self._warn_too_short()

    def _warn_too_short(self) -> list[str]:
        if self.frames != 1 or self.grants:
            return []
        return [
            "one frame is too short to decide; a terminal with `camera.loop: true` shows it "
            "forever; use several pictures or a video"
        ]

    def _warn_unusable(self) -> list[str]:
        if any(m.usable for m in self.decisions):
            return []
        seen = Counter(m.reason for m in self.decisions).most_common(1)
        found = f"most were {seen[0][0]!r}" if seen else "no face at all was found"
        return [
            f"no usable face in {format_count(self.frames, 'frame')}: {found}; is the picture "
            "upright, sharp and the face wide enough (`detector.min_face_px`)?"
        ]

    @property
    def failures(self) -> list[str]:
        """Differences from the expectation, in words."""
        false = [
            f"{m.subject} granted at {m.at_s:.2f} s"
            + (f" on the face of {m.person}" if m.person not in (None, m.subject) else "")
            for m in self.false_grants
        ]
        false += [f"the door opened for {r.person} at {r.at_s:.2f} s" for r in self.false_openings]
        if not self.has_expected_answers:
            found = ", ".join(self.answers) or "none"
            false.append(f"expected of the door: {self.expected}; found: {found}")
        return false + [f"{subject} never granted" for subject in self.missed]


def _prominence(attempt: TrackResult) -> tuple[bool, float, int]:
    granted = attempt.decisive.verdict == Verdict.GRANT
    return (
        granted,
        -attempt.decisive.at_s if granted else 0.0,
        sum(m.embedded for m in attempt.decisions),
    )
