"""Recognition pipeline, from a frame to decisions. Start here. Terms: docs/glossary.md.

    Frame -> Face -> chip -> Probe -> Match -> Decision -> Grant
    camera   detect  align   embed    gallery  rules       door

    Frame     image (H,W,3) uint8 BGR; `at`, monotonic seconds of its exposure
    Face      box_xyxy (4,) and landmarks_xy (5,2) in pixels of the frame; detector score 0..1
    chip      (112,112,3) uint8 BGR, the face aligned by its landmarks
    Probe     embedding (D,) float32 of unit norm; probability 0..1 of a mask; expected similarity;
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
5. embed    compute the probes; refuse faces that are too hidden to be recognised: they are neither
            searched nor votes; if two people changed places, exchange their tracks
6. search   find the best match in the gallery
7. decide   during a model migration: if the new model finds no match, search by the previous model.
            Apply threshold, margin, mask rule and rate limit; check liveness; vote
            (edge/recogniser/face_decider.py). A grant may be held: the person is at another
            lane (edge/recogniser/lane_guard.py), or not alone while `one_at_a_time` is set

Every face gets a result. A face that is refused or skipped in a step does not take the next ones.
A track is decided during the cooldown after its grant, and after its decision timeout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.access import policy
from edge.access.reasons import Reason
from edge.face import quality
from edge.face.boxes import is_centre_in_zone
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.face.liveness import crop_frame
from edge.face.search_schedule import SearchScheduler
from edge.face.track import Track, Tracker
from edge.recogniser.face_decider import FaceDecider
from edge.recogniser.lane_guard import LaneGuard
from edge.recogniser.model_migration import ModelMigration
from edge.recogniser.pipeline_values import (
    FaceInFrame,
    PipelineSettings,
    Searchable,
    SubjectLookup,
)
from edge.recogniser.stopwatch import Stopwatch
from edge.values import Face, FaceResult, Frame, Match, Probe

_REEMBED_S = 1.0  # interval of embedding a decided track again: it may be another person by now


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
        guard: LaneGuard | None,
    ) -> None:
        self.embedder, self.gallery = embedder, gallery
        self.stopwatch = Stopwatch()
        self._settings = settings
        self._scheduler = SearchScheduler(detector)
        self._tracker = Tracker(settings.same_person)
        self._decider = FaceDecider(gallery, lookup, settings, migration, guard, self.stopwatch)
        self._guard = guard
        self._previous_at = -math.inf  # time of the previous frame

    def recognise(self, frame: Frame, claimed: str | None = None) -> list[FaceResult]:
        """Return the result of each face in a frame; raises EngineError.

        `claimed` is the person whose card or PIN was presented. A face that no search recognises
        is compared with this person alone.
        """
        detected = self._detect(frame)
        faces = self._track(frame, detected)
        chosen = self._choose(frame, faces)
        aligned = self._align(frame, chosen)
        self._embed(frame, aligned)
        matches = self._search(faces)
        self._count_others(frame, faces)
        self._publish_faces(frame)
        return [
            self._decider.decide(face, match, frame.at, claimed)
            for face, match in zip(faces, matches, strict=True)
        ]

    def update_settings(self, settings: PipelineSettings) -> None:
        """Apply other settings from the next frame on; new tracks get the new liveness layers."""
        self._decider.update_settings(settings)
        self._settings = settings

    def revoke_grant(self, track: int, subject: str, retry_s: float) -> None:
        """Shorten the cooldown to `retry_s` after a grant that did not open the door."""
        self._decider.revoke_grant(track, subject, retry_s)

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
        """Return True if a grant is near with `nearest_only` or `one_at_a_time`.

        A person who stepped up is then found before the door opens for another one.
        """
        settings = self._settings
        counts_others = settings.face_filter.nearest_only or settings.rules.one_at_a_time
        return counts_others and any(map(self._decider.is_near_grant, self._tracker.numbers))

    # 2. track

    def _track(self, frame: Frame, detected: Sequence[Face]) -> list[FaceInFrame]:
        """Assign a track to each face, and refuse faces by their box; widest face first."""
        with self.stopwatch.lap("track"):
            start_score = self._settings.face_filter.start_score
            detected = self._tracker.select_faces(detected, frame.at, start_score)
            tracks = self._tracker.update(detected, frame.at)
            for track, found in zip(tracks, detected, strict=True):
                if found.score >= start_score:
                    track.confirmed_at = frame.at
            faces = [
                FaceInFrame(track, face, self.gallery.refusal or self._refuse_by_box(frame, face))
                for track, face in zip(tracks, detected, strict=True)
            ]
            faces.sort(key=lambda face: -face.face.width_px)
            if self._settings.face_filter.nearest_only:
                self._refuse_all_but_nearest(frame, faces)
            self._decider.retain_tracks(self._tracker.numbers, frame.at)
            return faces

    def _refuse_by_box(self, frame: Frame, face: Face) -> Reason | None:
        """Return why a face is refused by its box, None if it is not refused."""
        if not self._is_in_zone(frame, face):
            return Reason.OUTSIDE_ZONE
        is_small = face.width_px < self._settings.face_filter.min_face_px
        return Reason.TOO_SMALL if is_small else None

    def _is_in_zone(self, frame: Frame, face: Face) -> bool:
        zone = self._settings.face_filter.zone
        return is_centre_in_zone(face.box_xyxy, frame.image.shape, zone)

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
            if not self._decider.is_decided(track.number, at)
            or at - track.embedded_at >= _REEMBED_S
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
        """Embed all chips in one batch; assign tracks again where the embeddings contradict.

        Hidden faces are refused. Their embeddings say little about the person, so tracks ignore
        them.
        """
        with self.stopwatch.lap("embed"):
            chips = [face.chip for face in aligned if face.chip is not None]
            probes = self.embedder.embed(np.stack(chips)) if chips else []
        with self.stopwatch.lap("track"):
            pairs: list[tuple[Track, Probe]] = []
            usable: list[FaceInFrame] = []
            for face, probe in zip(aligned, probes, strict=True):
                if self._is_unconfirmed(face, probe):
                    continue
                face.probe = probe
                if policy.is_face_hidden(probe.expected_similarity, self._settings.rules):
                    face.refusal = Reason.FACE_HIDDEN
                else:
                    usable.append(face)
                    pairs.append((face.track, probe))
            tracks = self._tracker.reassign(pairs, frame.at)
            for face, track in zip(usable, tracks, strict=True):
                face.track = track

    def _is_unconfirmed(self, face: FaceInFrame, probe: Probe) -> bool:
        """Return True if a face below the start score is not confirmed as its track's person.

        It is skipped: it neither starts a track nor takes part in the decision. A track must have
        an embedding of a face at the start score before it confirms a weak one.
        """
        is_weak = face.face.score < self._settings.face_filter.start_score
        return is_weak and not self._tracker.confirms(face.track, probe)

    # 6. search

    def _search(self, faces: Sequence[FaceInFrame]) -> list[Match | None]:
        """Return the best match of each face; None if it was refused or the gallery is empty."""
        with self.stopwatch.lap("search"):
            probes = [face.probe if face.refusal is None else None for face in faces]
            embeddings = [probe.embedding for probe in probes if probe is not None]
            matches = iter(self.gallery.search_all(np.stack(embeddings)) if embeddings else [])
            return [next(matches) if probe is not None else None for probe in probes]

    # 7. decide

    def _count_others(self, frame: Frame, faces: Iterable[FaceInFrame]) -> None:
        """Count for each face the other people in the zone who are near enough to be recognised.

        A person counts until a second after the last frame that showed their face.
        """
        present = [
            track
            for track in self._tracker.tracks
            if track.face.width_px >= self._settings.face_filter.min_face_px
            and self._is_in_zone(frame, track.face)
        ]
        for face in faces:
            face.others = sum(
                track is not face.track and not self._is_earlier_track(track, face, frame.at)
                for track in present
            )

    def _is_earlier_track(self, track: Track, face: FaceInFrame, at: float) -> bool:
        """Return True for a lost track of the person of a face."""
        if track.seen_at >= at or track.embedding is None or face.track.embedding is None:
            return False
        return float(track.embedding @ face.track.embedding) >= self._settings.same_person

    def _publish_faces(self, frame: Frame) -> None:
        """Publish the faces of this lane for the other lanes of the terminal."""
        if self._guard is not None:
            face_filter = self._settings.face_filter
            self._guard.publish(
                self._tracker.tracks,
                frame.image.shape[1],
                face_filter.zone,
                frame.at,
                min_face_px=face_filter.min_face_px,
            )
