"""Step 7 of the pipeline: the decision on a face that has a probe and was searched.

1. model     if the new model finds no match during a migration, the previous model searches;
             if none does, the holder of a presented card or PIN is compared
2. rules     threshold, margin and mask rule, rate limit on unknown faces
3. liveness  evidence is collected while the face is identified as one subject
4. votes     a grant needs several frames
5. hold      it waits while the person is at another lane, or not alone with `one_at_a_time`
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

from edge.access import policy
from edge.access.policy import DecisionRules
from edge.access.rate_limit import UnknownFaceLimiter
from edge.access.reasons import Reason
from edge.access.voting import Voting
from edge.face import quality
from edge.face.liveness import LivenessChecker, join_results
from edge.face.liveness.challenge import ChallengeLiveness
from edge.face.track import Track
from edge.recogniser.lane_guard import LaneGuard
from edge.recogniser.model_migration import ModelMigration
from edge.recogniser.pipeline_values import (
    FaceInFrame,
    PipelineSettings,
    Searchable,
    SubjectLookup,
)
from edge.recogniser.stopwatch import Stopwatch
from edge.subject import SubjectRecord
from edge.values import Decision, FaceResult, Match, Probe, Verdict

_NO_RECORD = SubjectRecord()  # for a face without a match


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """Match of a face by one model, with the rules and thresholds for its scores."""

    probe: Probe
    match: Match | None
    rules: DecisionRules
    by_previous_model: bool = False


class FaceDecider:
    """Decides on faces by model, rules, liveness and votes. Not thread-safe."""

    def __init__(
        self,
        gallery: Searchable,
        lookup: SubjectLookup,
        settings: PipelineSettings,
        migration: ModelMigration | None,
        guard: LaneGuard | None,
        stopwatch: Stopwatch,
    ) -> None:
        self._gallery, self._lookup, self._migration = gallery, lookup, migration
        self._rules = settings.rules
        self._liveness = LivenessChecker(settings.layers)
        self._voting = Voting(settings.rules)
        self._limiter = UnknownFaceLimiter(settings.max_unknown_per_minute)
        self._guard, self._stopwatch = guard, stopwatch

    def update_settings(self, settings: PipelineSettings) -> None:
        """Apply other settings from the next face on; new tracks get the new liveness layers."""
        self._voting.update_rules(settings.rules)
        self._limiter.update_limit(settings.max_unknown_per_minute)
        self._liveness.update_layers(settings.layers)
        if self._guard is not None:
            self._guard.update_cooldown(settings.rules.cooldown_s)
        self._rules = settings.rules

    def revoke_grant(self, track: int, subject: str, retry_s: float) -> None:
        """Shorten the cooldown to `retry_s` after a grant that did not open the door."""
        self._voting.revoke_grant(track, subject, retry_s)
        if self._guard is not None:
            self._guard.revoke(track)

    def is_decided(self, track: int, at: float) -> bool:
        """Return True if further frames of a track cannot change anything for now."""
        return self._voting.is_decided(track, at)

    def is_near_grant(self, track: int) -> bool:
        """Return True if one more frame of a track may be enough for a grant."""
        return self._voting.is_near_grant(track)

    def retain_tracks(self, tracks: Collection[int], at: float) -> None:
        """Forget all tracks except these."""
        self._voting.retain_tracks(tracks, at)
        self._limiter.retain_tracks(tracks, at)
        self._liveness.retain_tracks(tracks)
        if self._migration is not None:
            self._migration.retain_tracks(tracks)

    def decide(
        self, face: FaceInFrame, match: Match | None, at: float, claimed: str | None
    ) -> FaceResult:
        """Return the result of a face: refused, skipped, or by rules, liveness and votes."""
        if face.refusal is not None:
            return _build_unmatched(face, policy.refused_decision(face.refusal, at))
        if face.probe is None or face.quality is None:
            return _build_unmatched(face, policy.skipped_decision(at))
        with self._stopwatch.lap("search"):
            found = self._select_model(face, face.probe, match)
            if claimed is not None and not _is_known_face(found, face.track):
                found = self._verify_claim(found, face, claimed)
        visibility = quality.measure_visibility(found.probe)
        with self._stopwatch.lap("look"):
            record = self._lookup(found.match.subject) if found.match else _NO_RECORD
            decision = self._apply_rules(found, record, face.track, at)
            if (occlusion := quality.RECOGNITION_GATE.find_refusal(visibility)) is not None:
                decision = policy.refused_decision(occlusion, at)
            self._add_liveness_evidence(face, decision)
        with self._stopwatch.lap("decide"):
            track = face.track.number
            is_near = policy.is_near_threshold(decision, found.rules)
            liveness = self._liveness.results(track, at, near_threshold=is_near)
            if record is not None and record.liveness == "no-challenge":  # cannot turn the head
                liveness.pop(ChallengeLiveness.name, None)
            hold = partial(self._find_hold, face, found.match, at)
            decision = self._voting.add_frame(
                track, decision, face.quality.weight, join_results(liveness), hold
            )
            if self._guard is not None and decision.verdict is Verdict.PENDING and found.match:
                self._guard.note_subject(track, found.match.subject)
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
            face.others,
        )
        if self._migration is not None and found.by_previous_model:
            self._migration.add_sample(result, face.probe.embedding)
        return result

    def _select_model(self, face: FaceInFrame, probe: Probe, match: Match | None) -> ModelResult:
        """Return the result of the new model, or of the previous model if only that one matches."""
        migration, rules = self._migration, self._rules
        templates = self._gallery.templates + (migration.templates if migration else 0)
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

    def _verify_claim(self, result: ModelResult, face: FaceInFrame, claimed: str) -> ModelResult:
        """Return the 1:1 comparison with a person who presented a card or PIN, if it matches.

        The thresholds do not rise with the gallery, and no margin is needed: it is one comparison.
        """
        if face.probe is None or result.by_previous_model:
            return result
        match = self._gallery.compare(face.probe.embedding, claimed)
        rules = replace(result.rules, thresholds=self._rules.verification, margin=0.0)
        verified = ModelResult(face.probe, match, rules)
        return verified if _is_known_face(verified, face.track) else result

    def _apply_rules(
        self, found: ModelResult, record: SubjectRecord | None, track: Track, at: float
    ) -> Decision:
        """Decide one frame by the rules and the rate limit on unknown faces.

        PENDING is the best verdict here: only the votes of several frames make it a GRANT.
        """
        if record is None:  # erased; the previous model's gallery may still have the templates
            return policy.refused_decision(Reason.NOT_ENROLLED, at)
        rules = found.rules
        if record.mask != "as-configured":  # exempt from `policy.mask`
            rules = replace(rules, mask="ignore")
        decision = policy.decide_frame(
            found.match, track.mask_worn, rules, at, frame_mask_worn=found.probe.mask_worn
        )
        if decision.verdict is not Verdict.UNKNOWN:
            self._limiter.note_known(track.number)
        elif found.match is not None:
            self._limiter.note_unknown(track.number, track.face_count, at)
        if decision.verdict is not Verdict.PENDING:
            return decision
        if self._limiter.is_exceeded(at):
            return replace(decision, verdict=Verdict.REFUSED, reason=Reason.TOO_MANY_ATTEMPTS)
        if record.unmoved_rights is not None and record.unmoved_rights.is_limited:
            return replace(decision, verdict=Verdict.REFUSED, reason=Reason.RIGHTS_NOT_MOVED)
        return decision

    def _find_hold(self, face: FaceInFrame, match: Match | None, at: float) -> Reason | None:
        """Return why a face with enough votes is not granted access yet, None if it is."""
        if face.others and self._rules.one_at_a_time:
            return Reason.ONE_AT_A_TIME
        if self._guard is None or match is None:
            return None
        track = face.track
        threshold = policy.threshold_for(track.mask_worn, self._rules.thresholds)
        return self._guard.find_hold(track.number, match.subject, threshold, at)

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
    decision = policy.decide_frame(
        result.match,
        track.mask_worn,
        result.rules,
        at=0.0,
        frame_mask_worn=result.probe.mask_worn,
    )
    return decision.verdict is not Verdict.UNKNOWN


def _build_unmatched(face: FaceInFrame, decision: Decision) -> FaceResult:
    """Return the result of a face that was refused or skipped before it was matched.

    Only a face that is too hidden was embedded.
    """
    probe, visibility = face.probe, None
    if probe is not None:
        visibility = quality.measure_visibility(probe)
        decision = replace(decision, mask_worn=probe.mask_worn)
    return FaceResult(
        face.face, face.track.number, face.chip, probe, decision, face.quality, visibility
    )
