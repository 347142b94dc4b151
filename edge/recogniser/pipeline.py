"""Recognition pipeline, from a frame to decisions. Start here. Terms: docs/glossary.md.

    Frame -> Face -> chip -> Probe -> Match -> Decision -> Grant
    camera   detect  align   embed    gallery  rules       door

    Frame     image (H,W,3) uint8 BGR; `at`, monotonic seconds of its exposure
    Face      box_xyxy (4,) and landmarks_xy (5,2) in pixels of the frame; detector score 0..1
    chip      (112,112,3) uint8 BGR, the face aligned by its landmarks
    Probe     embedding (D,) float32 of unit norm; probability 0..1 of a mask;
              attention (3,14,14) 0..1: maps of unmasked face, mask and background
    Match     subject with the best score, and the runner-up's score; scores are cosines
    Decision  verdict (grant, pending, unknown, refused) and reason of one face in one frame
    Grant     request to the door process; the daemon makes it from a decision with verdict GRANT

`Pipeline.recognise` takes these steps with each frame:

1. detect   find faces in the full frame, or only near the tracks that still need a decision
2. track    assign each face to the track of one person; refuse faces outside the zone, too small
            ones, with `nearest_only` all but the nearest, and all while the gallery is unreadable
3. choose   take the faces that waited longest, at most `FaceFilter.max_faces`; skip the others
4. align    cut out the chips and measure their quality; refuse poor ones
5. embed    compute the probes; if two people changed places, exchange their tracks
6. search   find the best match in the gallery
7. decide   during a model migration: if the new model finds no match, search by the previous model.
            Apply threshold, margin, mask rule, rate limit and access rights; check liveness; vote

Every face gets a result. A face that is refused or skipped in a step does not take the next ones.
A track is decided during the cooldown after its grant, and after its decision timeout.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from edge.face.detect import FaceDetector
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

_REEMBED_S = 1.0  # interval of embedding a decided track again: it may be another person by now
_NO_RECORD = SubjectRecord()  # for a face without a match

SubjectLookup = Callable[[str], SubjectRecord | None]  # finds a subject's record


class Searchable(Protocol):
    """A gallery, or an index of templates alone."""

    @property
    def templates(self) -> int: ...

    @property
    def refusal(self) -> Reason | None: ...  # why all people are refused; None: they are not

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]: ...


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """Limits on the faces that are examined, and the interval of full-frame searches."""

    min_face_px: int  # minimum width of the box
    zone: Zone  # part of the frame that must contain the centre of the box
    nearest_only: bool  # examine only the widest face in the zone: for lanes with a queue
    max_faces: int  # maximum of faces that are embedded per frame
    search_interval_s: float  # seconds between full-frame searches; 0: every frame


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Access rights at this door, and the rate limit on unknown faces."""

    rights: AccessRights
    max_unknown_per_minute: int  # beyond it all people are refused for a minute


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """Settings of a pipeline; all except `same_person` can change while it runs."""

    rules: Rules
    face_filter: FaceFilter
    access: AccessPolicy
    layers: Sequence[Callable[[], LivenessLayer]]  # factories; each track has its own layers
    same_person: float  # cosine below which two embeddings of a track are of two people


@dataclass(slots=True, eq=False)
class FaceInFrame:
    """A face of the present frame. Mutable: each step of the pipeline fills in its part."""

    track: Track
    face: Face
    refusal: Reason | None  # set by the step that refuses the face
    crop: LivenessFrame | None = None  # chip and crop of the frame; set in step 4
    quality: Quality | None = None  # set in step 4
    probe: Probe | None = None  # set in step 5

    @property
    def chip(self) -> NDArray[np.uint8] | None:
        """Aligned face (112,112,3) uint8 BGR."""
        return self.crop.chip if self.crop is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """Match of a face by one model, with the rules and thresholds for its scores."""

    probe: Probe
    match: Match | None
    rules: Rules
    by_previous_model: bool = False


class Stopwatch:
    """Measures seconds per stage since the last `reset`. Stages: docs/bench.md."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage; costs less than a microsecond."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def reset(self) -> dict[str, float]:
        """Return the seconds by stage and start again from zero."""
        seconds, self.seconds = self.seconds, {}
        return seconds


class Pipeline:
    """Recognises faces in frames. Frames must come in order of time. Not thread-safe."""

    def __init__(
        self,
        detector: FaceDetector,
        embedder: Embedder,
        gallery: Searchable,
        lookup: SubjectLookup,
        settings: PipelineSettings,
        migration: ModelMigration | None,
    ) -> None:
        self.embedder, self.gallery = embedder, gallery
        self.stopwatch = Stopwatch()
        self._lookup, self._migration = lookup, migration
        self._settings = settings
        self._scheduler = SearchScheduler(detector)
        self._tracker = Tracker(settings.same_person)
        self._liveness = LivenessChecker(settings.layers)
        self._voting = Voting(settings.rules)
        self._limiter = UnknownFaceLimiter(settings.access.max_unknown_per_minute)
        self._previous_at = -math.inf  # time of the previous frame

    def recognise(self, frame: Frame) -> list[FaceResult]:
        """Return the result of each face in a frame; raises EngineError."""
        detected = self._detect(frame)
        faces = self._track(frame, detected)
        chosen = self._choose(frame, faces)
        aligned = self._align(frame, chosen)
        self._embed(frame, aligned)
        matches = self._search(faces)
        return [
            self._decide(frame, face, match) for face, match in zip(faces, matches, strict=True)
        ]

    def update_settings(self, settings: PipelineSettings) -> None:
        """Apply other settings from the next frame on; new tracks get the new liveness layers."""
        self._voting.update_rules(settings.rules)
        self._limiter.update_limit(settings.access.max_unknown_per_minute)
        self._liveness.update_layers(settings.layers)
        self._settings = settings

    def revoke_grant(self, track: int, subject: str, retry_s: float) -> None:
        """Shorten the cooldown to `retry_s` after a grant that did not open the door."""
        self._voting.revoke_grant(track, subject, retry_s)

    # 1. detect

    def _detect(self, frame: Frame) -> list[Face]:
        with self.stopwatch.lap("detect"):
            face_filter = self._settings.face_filter
            previous_at, self._previous_at = self._previous_at, frame.at
            predicted = self._predict_boxes(frame, previous_at)
            interval_s = 0.0 if self._needs_full_search() else face_filter.search_interval_s
            return self._scheduler.detect(
                frame,
                predicted,
                search_interval_s=interval_s,
                min_face_px=face_filter.min_face_px,
                zone=face_filter.zone,
            )

    def _predict_boxes(self, frame: Frame, previous_at: float) -> list[NDArray[np.float64]]:
        """Predict the boxes (4,) to search if the full frame is not searched.

        These are the boxes of undecided tracks whose face was found in the previous frame. With
        `nearest_only` it is the box of the nearest track, decided or not.
        """
        face_filter = self._settings.face_filter
        tracks: Iterable[Track] = self._tracker.tracks
        if face_filter.nearest_only:
            nearest = self._find_nearest(frame)
            tracks = () if nearest is None else (nearest,)
        in_view = [
            track
            for track in tracks
            if track.face.width_px >= face_filter.min_face_px and track.seen_at >= previous_at
        ]
        due = in_view if face_filter.nearest_only else self._select_due_tracks(in_view, frame.at)
        return [track.predict(frame.at) for track in due]

    def _needs_full_search(self) -> bool:
        """Return True if a grant is near with `nearest_only`.

        A person who stepped in front is then found before the door opens for the person behind.
        """
        return self._settings.face_filter.nearest_only and any(
            map(self._voting.is_near_grant, self._tracker.numbers)
        )

    # 2. track

    def _track(self, frame: Frame, detected: Sequence[Face]) -> list[FaceInFrame]:
        """Assign a track to each face, and refuse faces by their box; widest face first."""
        with self.stopwatch.lap("track"):
            tracks = self._tracker.update(detected, frame.at)
            faces = [
                FaceInFrame(track, face, self.gallery.refusal or self._refuse_by_box(frame, face))
                for track, face in zip(tracks, detected, strict=True)
            ]
            faces.sort(key=lambda face: -face.face.width_px)
            if self._settings.face_filter.nearest_only:
                self._refuse_all_but_nearest(frame, faces)
            self._forget_lost_tracks(frame.at)
            return faces

    def _refuse_by_box(self, frame: Frame, face: Face) -> Reason | None:
        """Return why a face is refused by its box, None if it is not refused."""
        if not self._is_in_zone(frame, face):
            return Reason.OUTSIDE_ZONE
        is_small = face.width_px < self._settings.face_filter.min_face_px
        return Reason.TOO_SMALL if is_small else None

    def _is_in_zone(self, frame: Frame, face: Face) -> bool:
        height, width = frame.image.shape[:2]
        x, y = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2 / (width, height)
        left, top, right, bottom = self._settings.face_filter.zone
        return bool(left <= x <= right and top <= y <= bottom)

    def _refuse_all_but_nearest(self, frame: Frame, faces: Iterable[FaceInFrame]) -> None:
        """Refuse all faces in the zone except that of the nearest track.

        If the nearest track has no face in this frame, all faces in the zone are refused.
        """
        nearest = self._find_nearest(frame)
        for face in faces:
            if face.track is not nearest and face.refusal is not Reason.OUTSIDE_ZONE:
                face.refusal = Reason.NOT_NEAREST

    def _find_nearest(self, frame: Frame) -> Track | None:
        """Return the track in the zone with the widest face, also of an earlier frame."""
        in_zone = [track for track in self._tracker.tracks if self._is_in_zone(frame, track.face)]
        return max(in_zone, key=lambda track: track.face.width_px, default=None)

    def _forget_lost_tracks(self, at: float) -> None:
        live = self._tracker.numbers
        self._voting.retain_tracks(live, at)
        self._limiter.retain_tracks(live, at)
        self._liveness.retain_tracks(live)
        if self._migration is not None:
            self._migration.retain_tracks(live)

    # 3. choose

    def _choose(self, frame: Frame, faces: Iterable[FaceInFrame]) -> list[FaceInFrame]:
        """Return the faces to examine in this frame: to align, embed and match."""
        by_track = {face.track: face for face in faces if face.refusal is None}
        return [by_track[track] for track in self._select_due_tracks(by_track, frame.at)]

    def _select_due_tracks(self, tracks: Iterable[Track], at: float) -> list[Track]:
        """Return at most `max_faces` tracks: those that were not examined for the longest time.

        A decided track is due once a second, any other track in each frame.
        """
        due = [
            track
            for track in tracks
            if not self._voting.is_decided(track.number, at) or at - track.embedded_at >= _REEMBED_S
        ]
        due.sort(key=lambda track: track.examined_at)
        return due[: self._settings.face_filter.max_faces]

    # 4. align

    def _align(self, frame: Frame, chosen: Sequence[FaceInFrame]) -> list[FaceInFrame]:
        """Align faces and measure their quality; return those that pass the quality gate."""
        with self.stopwatch.lap("detect"):
            for face in chosen:
                face.face = face.track.face = self._scheduler.refine(frame, face.face)
        with self.stopwatch.lap("look"):
            for face in chosen:
                face.track.examined_at = frame.at
                crop = face.crop = crop_frame(frame.image, face.face, frame.at)
                face.quality = quality.measure_quality(
                    crop.face, crop.chip, frame.image.shape, crop.pose
                )
                face.refusal = quality.RECOGNITION_GATE.find_refusal(face.quality)
            return [face for face in chosen if face.refusal is None]

    # 5. embed

    def _embed(self, frame: Frame, aligned: Sequence[FaceInFrame]) -> None:
        """Embed all chips in one batch; assign tracks again where the embeddings contradict."""
        with self.stopwatch.lap("embed"):
            chips = [face.chip for face in aligned if face.chip is not None]
            probes = self.embedder.embed(np.stack(chips)) if chips else []
        with self.stopwatch.lap("track"):
            pairs = [(face.track, probe) for face, probe in zip(aligned, probes, strict=True)]
            tracks = self._tracker.reassign(pairs, frame.at)
            for face, probe, track in zip(aligned, probes, tracks, strict=True):
                face.probe, face.track = probe, track

    # 6. search

    def _search(self, faces: Sequence[FaceInFrame]) -> list[Match | None]:
        """Return the best match of each face; None without a probe or if the gallery is empty."""
        with self.stopwatch.lap("search"):
            embeddings = [face.probe.embedding for face in faces if face.probe is not None]
            matches = iter(self.gallery.search_all(np.stack(embeddings)) if embeddings else [])
            return [next(matches) if face.probe is not None else None for face in faces]

    # 7. decide

    def _decide(self, frame: Frame, face: FaceInFrame, match: Match | None) -> FaceResult:
        """Return the result of a face: refused, skipped, or by rules, liveness and votes."""
        if face.refusal is not None:
            return _build_unmatched(face, policy.refused_decision(face.refusal, frame.at))
        if face.probe is None or face.quality is None:
            return _build_unmatched(face, policy.skipped_decision(frame.at))
        with self.stopwatch.lap("search"):
            found = self._select_model(face, face.probe, match)
        visibility = quality.measure_visibility(found.probe)
        with self.stopwatch.lap("look"):
            record = self._lookup(found.match.subject) if found.match else _NO_RECORD
            decision = self._apply_rules(found, record, face.track, frame.at)
            if (occlusion := quality.RECOGNITION_GATE.find_refusal(visibility)) is not None:
                decision = policy.refused_decision(occlusion, frame.at)
            self._add_liveness_evidence(face, decision)
        with self.stopwatch.lap("decide"):
            track = face.track.number
            is_near = policy.is_near_threshold(decision, found.rules)
            liveness = self._liveness.results(track, frame.at, near_threshold=is_near)
            if record is not None and record.liveness == "no-challenge":  # cannot turn the head
                liveness.pop(ChallengeLiveness.name, None)
            decision = self._voting.add_frame(
                track, decision, face.quality.weight, join_results(liveness)
            )
        result = FaceResult(
            face.face,
            track,
            face.chip,
            found.probe,
            decision,
            face.quality,
            visibility,
            liveness,
            found.by_previous_model,
        )
        if self._migration is not None and found.by_previous_model:
            self._migration.add_sample(result, face.probe.embedding)
        return result

    def _select_model(self, face: FaceInFrame, probe: Probe, match: Match | None) -> ModelResult:
        """Return the result of the new model, or of the previous model if only that one matches."""
        migration, rules = self._migration, self._settings.rules
        templates = self.gallery.templates + (migration.templates if migration else 0)
        result = ModelResult(probe, match, rules.for_size(templates))
        if migration is None or face.chip is None or _is_known_face(result, face.track):
            return result
        (previous_probe,) = migration.embedder.embed(face.chip[None])
        previous_result = ModelResult(
            previous_probe,
            migration.search(previous_probe.embedding),
            rules.for_model(migration.rules).for_size(templates),
            by_previous_model=True,
        )
        return previous_result if _is_known_face(previous_result, face.track) else result

    def _apply_rules(
        self, found: ModelResult, record: SubjectRecord | None, track: Track, at: float
    ) -> Decision:
        """Decide one frame by the rules, the access rights and the rate limit on unknown faces.

        PENDING is the best verdict here: only the votes of several frames make it a GRANT.
        """
        if record is None:  # erased; the previous model's gallery may still have the templates
            return policy.refused_decision(Reason.NOT_ENROLLED, at)
        rules = found.rules
        if record.mask != "as-configured":  # exempt from `policy.mask`
            rules = replace(rules, mask="ignore")
        decision = policy.decide_frame(found.match, track.mask_worn, rules, at)
        if decision.verdict is not Verdict.UNKNOWN:
            self._limiter.note_known(track.number)
        elif found.match is not None:
            self._limiter.note_unknown(track.number, track.face_count, at)
        if decision.verdict is not Verdict.PENDING:
            return decision
        refusal: Reason | None = Reason.TOO_MANY_ATTEMPTS
        if not self._limiter.is_exceeded(at):
            refusal = self._settings.access.rights.find_refusal(record)
        if refusal is None:
            return decision
        return replace(decision, verdict=Verdict.REFUSED, reason=refusal)

    def _add_liveness_evidence(self, face: FaceInFrame, decision: Decision) -> None:
        """Pass a frame to the liveness layers if its face was identified as the subject.

        A frame below the threshold, such as of a turned head, is passed as well if its score
        against the newest evidence of this subject reaches the threshold. Without this rule, a
        photo of an enrolled person could get its evidence from the living face of another person.
        """
        crop, probe, match = face.crop, face.probe, decision.match
        if crop is None or probe is None or match is None:
            return
        track, subject, threshold = face.track.number, match.subject, decision.threshold
        is_identified = match.score >= threshold and decision.verdict is not Verdict.UNKNOWN
        if is_identified or self._liveness.is_continuation(
            track, crop.at, subject, probe.embedding, threshold
        ):
            self._liveness.observe(track, crop, subject, probe.embedding)


def _is_known_face(result: ModelResult, track: Track) -> bool:
    """Return True if the verdict by the rules of this model is not UNKNOWN."""
    decision = policy.decide_frame(result.match, track.mask_worn, result.rules, at=0.0)
    return decision.verdict is not Verdict.UNKNOWN


def _build_unmatched(face: FaceInFrame, decision: Decision) -> FaceResult:
    """Return the result of a face that was refused or skipped before it was matched."""
    return FaceResult(face.face, face.track.number, face.chip, None, decision, face.quality)
