"""From a frame to decisions: detect, track, choose, look, embed, search, decide. Start reading here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.access import policy
from edge.access.policy import Rules
from edge.access.rate_limit import UnknownFaceLimiter
from edge.access.reasons import Reason
from edge.access.validity import AccessRights
from edge.access.voting import Voting
from edge.face import quality
from edge.face.detect import FULL_FRAME, FaceDetector
from edge.face.embed import Embedder
from edge.face.liveness import (
    LivenessChecker,
    LivenessFrame,
    LivenessLayer,
    crop_frame,
    join_results,
)
from edge.face.liveness.challenge import ChallengeLiveness
from edge.face.search_schedule import SearchScheduler
from edge.face.track import Track, Tracker
from edge.recogniser.model_migration import ModelMigration
from edge.subject import SubjectRecord
from edge.values import Decision, Face, FaceResult, Frame, Match, Probe, Quality, Verdict, Zone

_AGAIN_S = (
    1.0  # a face that is decided is embedded again after this time, in case it became somebody else
)


class Stopwatch:
    """Seconds spent per stage since the last `reset`; a few hundred nanoseconds a lap."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def reset(self) -> dict[str, float]:
        seconds, self.seconds = self.seconds, {}
        return seconds


_PLAIN = SubjectRecord()
SubjectLookup = Callable[[str], SubjectRecord | None]  # finds a subject's record


class Searchable(Protocol):
    """A gallery, or an index of templates alone."""

    @property
    def templates(self) -> int: ...

    @property
    def refusal(self) -> Reason | None: ...  # while it may admit no one

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]: ...


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """Which faces count, and how often the picture is searched for them."""

    min_face_px: int
    zone: Zone = FULL_FRAME  # for a face's centre
    nearest_only: bool = False  # nobody but the largest face: for lanes where people queue
    max_faces: int = 2  # faces looked at a frame
    search_interval_s: float = 0.0  # from one search to the next; 0: in every frame


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who of those who are recognised may pass, and how many others may try."""

    rights: AccessRights = field(default_factory=AccessRights)
    max_unknown_per_minute: int = 10_000  # unknown faces a minute


@dataclass(slots=True, eq=False)
class FaceInFrame:
    """A face of the present frame on its way through the pipeline."""

    track: Track
    face: Face
    refusal: Reason | None  # why a gate stopped it
    crop: LivenessFrame | None = None  # set once a face is aligned
    quality: Quality | None = None
    probe: Probe | None = None

    @property
    def chip(self) -> NDArray[np.uint8] | None:
        return self.crop.chip if self.crop is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """What one model says of a face, with the rules that belong to it."""

    probe: Probe
    match: Match | None
    rules: Rules
    by_previous_model: bool = False  # of the model before, in a changeover


class Pipeline:
    """Everything between camera and door. Not for several threads at once; frames come in order of time."""

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        gallery: Searchable,
        rules: Rules,
        regard: FaceFilter,
        tracker: Tracker,
        liveness: LivenessChecker,
        entry: AccessPolicy,
        people: SubjectLookup,
        changeover: ModelMigration | None = None,
    ) -> None:
        self.embedder, self.gallery = embedder, gallery
        self.stopwatch = Stopwatch()
        self._rules, self._regard, self._entry, self._people = rules, regard, entry, people
        self._changeover = changeover
        self._attempts = UnknownFaceLimiter(entry.max_unknown_per_minute)
        self._tracker, self._liveness = tracker, liveness
        self._voting = Voting(rules)
        self._lookout = SearchScheduler(detector)
        self._last_at = -math.inf  # when a frame was last looked at

    def recognise(self, frame: Frame) -> list[FaceResult]:
        """What is decided of each face in a frame; raises EngineError."""
        faces = self._detect(frame)
        seen = self._track(frame, faces)
        chosen = self._choose(frame, seen)
        self._sharpen(frame, chosen)
        self._embed(frame, self._look(frame, chosen))
        return self._decide(frame, seen)

    def update_rules(self, rules: Rules, regard: FaceFilter, entry: AccessPolicy) -> None:
        """Other rules from the next frame on."""
        self._voting.update_rules(rules)
        self._attempts.update_limit(entry.max_unknown_per_minute)
        self._rules, self._regard, self._entry = rules, regard, entry

    def update_layers(self, layers: Sequence[Callable[[], LivenessLayer]]) -> None:
        """Check the liveness of new tracks by other layers."""
        self._liveness.update_layers(layers)

    def revoke_grant(self, track: int, subject: str, again_after_s: float) -> None:
        """The door did not open for a grant: the person need not wait for the cooldown."""
        self._voting.revoke_grant(track, subject, again_after_s)

    def _detect(self, frame: Frame) -> list[Face]:
        with self.stopwatch.lap("detect"):
            regard = self._regard
            expected, least_px = self._expected(frame), regard.min_face_px
            every_s = 0.0 if self._must_search() else regard.search_interval_s
            return self._lookout.detect(
                frame, expected, search_interval_s=every_s, min_face_px=least_px, zone=regard.zone
            )

    def _expected(self, frame: Frame) -> list[NDArray[np.float64]]:
        """Predict the boxes of the tracks to examine between two full-frame searches.

        With `nearest_only` only that of the nearest track, decided or not.
        """
        at = frame.at
        last_at, self._last_at = self._last_at, at
        tracks = self._tracker.tracks
        if self._regard.nearest_only:
            nearest = self._nearest(frame)
            tracks = (nearest,) if nearest is not None else ()
        large = [t for t in tracks if t.face.width_px >= self._regard.min_face_px]
        seen = [t for t in large if t.seen_at >= last_at]
        due = seen if self._regard.nearest_only else self._in_turn(seen, at)
        return [track.predict(at) for track in due]

    def _nearest(self, frame: Frame) -> Track | None:
        """Return the widest live track in the zone, even if this frame does not show it."""
        inside = [t for t in self._tracker.tracks if self._is_in_zone(frame, t.face)]
        return max(inside, key=lambda track: track.face.width_px, default=None)

    def _must_search(self) -> bool:
        """Return True if the next vote may grant and another face may be nearer by then."""
        return self._regard.nearest_only and any(
            map(self._voting.is_near_grant, self._tracker.numbers)
        )

    def _in_turn(self, tracks: Iterable[Track], at: float) -> list[Track]:
        """Of whom another look can change anything, those who waited longest; of the decided ones nobody too often."""
        due = [
            t
            for t in tracks
            if not self._voting.is_decided(t.number, at) or at - t.embedded_at >= _AGAIN_S
        ]
        return sorted(due, key=lambda track: track.examined_at)[: self._regard.max_faces]

    def _track(self, frame: Frame, faces: Sequence[Face]) -> list[FaceInFrame]:
        """Assign a track to each face, widest first, with the reason if its box is refused."""
        with self.stopwatch.lap("track"):
            tracks = self._tracker.update(faces, frame.at)
            seen = [
                FaceInFrame(track, face, self.gallery.refusal or self._box_refuses(frame, face))
                for track, face in zip(tracks, faces, strict=True)
            ]
            seen.sort(key=lambda candidate: -candidate.face.width_px)
            if self._regard.nearest_only:
                self._refuse_farther(frame, seen)
            self._forget_lost(frame.at)
            return seen

    def _refuse_farther(self, frame: Frame, seen: Sequence[FaceInFrame]) -> None:
        """Refuse all faces in the zone except the nearest live track, seen in this frame or not."""
        nearest = self._nearest(frame)
        for candidate in seen:
            if candidate.track is not nearest and candidate.refusal != Reason.OUTSIDE_ZONE:
                candidate.refusal = Reason.NOT_NEAREST

    def _forget_lost(self, at: float) -> None:
        numbers = self._tracker.numbers
        self._voting.retain_tracks(numbers, at)
        self._attempts.retain_tracks(numbers, at)
        self._liveness.retain_tracks(numbers)
        if self._changeover is not None:
            self._changeover.retain_tracks(set(numbers))

    def _is_in_zone(self, frame: Frame, face: Face) -> bool:
        height, width = frame.image.shape[:2]
        x, y = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2 / (width, height)
        x0, y0, x1, y1 = self._regard.zone
        return bool(x0 <= x <= x1 and y0 <= y <= y1)

    def _box_refuses(self, frame: Frame, face: Face) -> Reason | None:
        if not self._is_in_zone(frame, face):
            return Reason.OUTSIDE_ZONE
        return Reason.TOO_SMALL if face.width_px < self._regard.min_face_px else None

    def _choose(self, frame: Frame, seen: Sequence[FaceInFrame]) -> list[FaceInFrame]:
        """The faces that are looked at now."""
        counting = {candidate.track: candidate for candidate in seen if candidate.refusal is None}
        return [counting[track] for track in self._in_turn(counting, frame.at)]

    def _sharpen(self, frame: Frame, chosen: Sequence[FaceInFrame]) -> None:
        with self.stopwatch.lap("detect"):
            for candidate in chosen:
                candidate.face = candidate.track.face = self._lookout.refine(frame, candidate.face)

    def _look(self, frame: Frame, chosen: Sequence[FaceInFrame]) -> list[FaceInFrame]:
        """Align faces and measure their quality; return those that pass the gate."""
        with self.stopwatch.lap("look"):
            for candidate in chosen:
                candidate.track.examined_at = frame.at
                look = candidate.crop = crop_frame(frame.image, candidate.face, frame.at)
                candidate.quality = quality.measure_quality(
                    look.face, look.chip, frame.image.shape, look.pose
                )
                candidate.refusal = quality.RECOGNITION_GATE.find_refusal(candidate.quality)
            return [candidate for candidate in chosen if candidate.refusal is None]

    def _embed(self, frame: Frame, good: Sequence[FaceInFrame]) -> None:
        """Embeds, and lets the tracker see who it is."""
        with self.stopwatch.lap("embed"):
            chips = [candidate.chip for candidate in good if candidate.chip is not None]
            probes = self.embedder.embed(np.stack(chips)) if chips else []
        with self.stopwatch.lap("track"):
            seen = [(candidate.track, probe) for candidate, probe in zip(good, probes, strict=True)]
            for candidate, probe, track in zip(
                good, probes, self._tracker.reassign(seen, frame.at), strict=True
            ):
                candidate.probe, candidate.track = probe, track

    def _decide(self, frame: Frame, seen: Sequence[FaceInFrame]) -> list[FaceResult]:
        with self.stopwatch.lap("search"):
            probes = [
                candidate.probe.embedding for candidate in seen if candidate.probe is not None
            ]
            matches = iter(self.gallery.search_all(np.stack(probes)) if probes else [])
        return [
            self._judge(frame, one, next(matches) if one.probe is not None else None)
            for one in seen
        ]

    def _judge(self, frame: Frame, candidate: FaceInFrame, match: Match | None) -> FaceResult:
        face, track, probe = candidate.face, candidate.track.number, candidate.probe
        if candidate.refusal is not None:
            decision = policy.refuse(candidate.refusal, frame.at)
            return FaceResult(face, track, candidate.chip, None, decision, candidate.quality)
        if probe is None or candidate.quality is None:
            decision = policy.skipped(frame.at)
            return FaceResult(face, track, candidate.chip, None, decision, candidate.quality)
        with self.stopwatch.lap("search"):
            opinion = self._ask(candidate, probe, match)
        visible = quality.measure_visibility(opinion.probe)
        with self.stopwatch.lap("look"):
            person = self._people(opinion.match.subject) if opinion.match else _PLAIN
            decision = self._weigh(opinion, person, candidate.track, frame.at)
            if (hidden := quality.RECOGNITION_GATE.find_refusal(visible)) is not None:
                decision = policy.refuse(hidden, frame.at)
            self._feed_liveness(candidate, decision)
        with self.stopwatch.lap("decide"):
            answers = self._liveness.results(
                track, frame.at, unsure=policy.is_near_threshold(decision, opinion.rules)
            )
            if person is not None and person.liveness == "no-challenge":
                answers.pop(ChallengeLiveness.name, None)
            decision = self._voting.add_frame(
                track, decision, candidate.quality.weight, join_results(answers)
            )
            seen = FaceResult(
                face,
                track,
                candidate.chip,
                opinion.probe,
                decision,
                candidate.quality,
                visible,
                answers,
                opinion.by_previous_model,
            )
            if self._changeover is not None and opinion.by_previous_model:
                self._changeover.add_sample(seen, probe.embedding)
            return seen

    def _feed_liveness(self, candidate: FaceInFrame, decision: Decision) -> None:
        """Count a frame as liveness evidence, only if it was embedded as the track's subject.

        A frame below the threshold, such as of a turned head, must be as like the newest evidence
        as the threshold asks: a photo and another person's face are not.
        """
        look, probe, match = candidate.crop, candidate.probe, decision.match
        if look is None or probe is None or match is None:
            return
        track, is_above = candidate.track.number, match.score >= decision.threshold
        if (is_above and decision.verdict is not Verdict.UNKNOWN) or self._liveness.is_continuation(
            track, look.at, match.subject, probe.embedding, decision.threshold
        ):
            self._liveness.observe(track, look, match.subject, probe.embedding)

    def _ask(self, candidate: FaceInFrame, probe: Probe, match: Match | None) -> ModelResult:
        """Match a face; during a migration, ask the previous model if the new one knows no one."""
        changeover = self._changeover
        templates = self.gallery.templates + (changeover.templates if changeover else 0)
        now = ModelResult(probe, match, policy.rules_for_size(self._rules, templates))
        if changeover is None or candidate.chip is None or self._knows(now, candidate):
            return now
        (earlier,) = changeover.embedder.embed(candidate.chip[None])
        rules = policy.rules_for_size(
            policy.with_model_thresholds(self._rules, changeover.rules), templates
        )
        before = ModelResult(
            earlier, changeover.search(earlier.embedding), rules, by_previous_model=True
        )
        return before if self._knows(before, candidate) else now

    def _knows(self, opinion: ModelResult, candidate: FaceInFrame) -> bool:
        return (
            policy.decide_frame(
                opinion.match, candidate.track.mask_worn, opinion.rules, 0.0
            ).verdict
            is not Verdict.UNKNOWN
        )

    def _weigh(
        self, opinion: ModelResult, person: SubjectRecord | None, track: Track, at: float
    ) -> Decision:
        """Decide one frame by the rules, the person's rights and the limit on unknown faces."""
        if person is None:  # erased, while the previous model's gallery still has the templates
            return policy.refuse(Reason.NOT_ENROLLED, at)
        rules = (
            opinion.rules
            if person.mask == "as-configured"
            else replace(opinion.rules, mask="ignore")
        )
        decision = policy.decide_frame(opinion.match, track.mask_worn, rules, at)
        if decision.verdict is not Verdict.UNKNOWN:
            self._attempts.note_known(track.number)
        elif opinion.match is not None:
            self._attempts.note_unknown(track.number, track.face_count, at)
        if decision.verdict is not Verdict.PENDING:
            return decision
        if self._attempts.is_exceeded(at):
            refused: Reason | None = Reason.TOO_MANY_ATTEMPTS
        else:
            refused = self._entry.rights.find_refusal(person)
        return replace(decision, verdict=Verdict.REFUSED, reason=refused) if refused else decision
