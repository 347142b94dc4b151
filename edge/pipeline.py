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
from edge.access.attempts import Attempts
from edge.access.policy import Rules
from edge.access.rights import Rights
from edge.access.voting import Voting
from edge.changeover import Changeover
from edge.face import quality
from edge.face.detect import WHOLE, Detector
from edge.face.embed import Embedder
from edge.face.liveness import Liveness, join, look_at
from edge.face.liveness.challenge import Challenge
from edge.face.lookout import Lookout
from edge.face.track import Track, Tracker
from edge.subject import SubjectRecord
from edge.values import Decision, Face, Frame, Match, Probe, Quality, Sighting, Verdict, Zone

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
People = Callable[[str], SubjectRecord]  # what is known of a subject


class Searchable(Protocol):
    """A gallery, or an index of templates alone."""

    @property
    def templates(self) -> int: ...

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]: ...


@dataclass(frozen=True, slots=True)
class Regard:
    """Which faces count, and how often the picture is searched for them."""

    min_face_px: int
    zone: Zone = WHOLE  # for a face's centre
    nearest_only: bool = False  # nobody but the largest face: for lanes where people queue
    budget: int = 2  # faces looked at a frame
    every_s: float = 0.0  # from one search to the next; 0: in every frame


@dataclass(frozen=True, slots=True)
class Entry:
    """Who of those who are recognised may pass, and how many others may try."""

    rights: Rights = field(default_factory=Rights)
    attempts: int = 10_000  # unknown faces a minute


@dataclass(slots=True, eq=False)
class Candidate:
    """A face of the present frame on its way through the pipeline."""

    track: Track
    face: Face
    refused: str | None  # why a gate stopped it
    chip: NDArray[np.uint8] | None = None
    quality: Quality | None = None
    probe: Probe | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What one model says of a face, with the rules that belong to it."""

    probe: Probe
    match: Match | None
    rules: Rules
    before: bool = False  # of the model before, in a changeover


class Pipeline:
    """Everything between camera and door. Not for several threads at once; frames come in order of time."""

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        gallery: Searchable,
        rules: Rules,
        regard: Regard,
        tracker: Tracker,
        liveness: Liveness,
        entry: Entry,
        people: People,
        changeover: Changeover | None = None,
    ) -> None:
        self.embedder, self.gallery = embedder, gallery
        self.stopwatch = Stopwatch()
        self._rules, self._regard, self._entry, self._people = rules, regard, entry, people
        self._changeover = changeover
        self._attempts = Attempts(entry.attempts)
        self._tracker, self._liveness = tracker, liveness
        self._voting = Voting(rules)
        self._lookout = Lookout(detector)
        self._last_at = -math.inf  # when a frame was last looked at

    def recognise(self, frame: Frame) -> list[Sighting]:
        """What is decided of each face in a frame; raises EngineError."""
        faces = self._detect(frame)
        seen = self._track(frame, faces)
        chosen = self._choose(frame, seen)
        self._sharpen(frame, chosen)
        self._embed(frame, self._look(frame, chosen))
        return self._decide(frame, seen)

    def obey(self, rules: Rules, regard: Regard, entry: Entry) -> None:
        """Other rules from the next frame on."""
        self._voting.obey(rules)
        self._attempts.obey(entry.attempts)
        self._rules, self._regard, self._entry = rules, regard, entry

    def withdraw(self, track: int, subject: str, again_after_s: float) -> None:
        """The door did not open for a grant: the person need not wait for the cooldown."""
        self._voting.withdraw(track, subject, again_after_s)

    def _detect(self, frame: Frame) -> list[Face]:
        with self.stopwatch.lap("detect"):
            regard = self._regard
            expected, least_px = self._expected(frame.at), regard.min_face_px
            return self._lookout.see(
                frame, expected, every_s=regard.every_s, least_px=least_px, zone=regard.zone
            )

    def _expected(self, at: float) -> list[NDArray[np.float64]]:
        """Where those should be by now who were just seen and are not decided yet."""
        last_at, self._last_at = self._last_at, at
        seen = [
            t
            for t in self._tracker.tracks
            if t.seen_at >= last_at and t.face.width_px >= self._regard.min_face_px
        ]
        return [track.expected(at) for track in self._in_turn(seen, at)]

    def _in_turn(self, tracks: Iterable[Track], at: float) -> list[Track]:
        """Of whom another look can change anything, those who waited longest; of the decided ones nobody too often."""
        due = [
            t
            for t in tracks
            if not self._voting.is_decided(t.number, at) or at - t.embedded_at >= _AGAIN_S
        ]
        return sorted(due, key=lambda track: track.looked_at)[: self._regard.budget]

    def _track(self, frame: Frame, faces: Sequence[Face]) -> list[Candidate]:
        """Each face with its track, the largest first, and what of it is plain from its box."""
        with self.stopwatch.lap("track"):
            tracks = self._tracker.update(faces, frame.at)
            seen = [
                Candidate(track, face, self._box_refuses(frame, face))
                for track, face in zip(tracks, faces, strict=True)
            ]
            seen.sort(key=lambda candidate: -candidate.face.width_px)
            if self._regard.nearest_only:
                for behind in [
                    candidate for candidate in seen if candidate.refused != "outside-zone"
                ][1:]:
                    behind.refused = "not-nearest"
            self._voting.keep(self._tracker.numbers, frame.at)
            self._liveness.keep(self._tracker.numbers)
            if self._changeover is not None:
                self._changeover.keep(set(self._tracker.numbers))
            return seen

    def _box_refuses(self, frame: Frame, face: Face) -> str | None:
        height, width = frame.image.shape[:2]
        x, y = (face.box_xyxy[:2] + face.box_xyxy[2:]) / 2 / (width, height)
        x0, y0, x1, y1 = self._regard.zone
        if not (x0 <= x <= x1 and y0 <= y <= y1):
            return "outside-zone"
        return "too-small" if face.width_px < self._regard.min_face_px else None

    def _choose(self, frame: Frame, seen: Sequence[Candidate]) -> list[Candidate]:
        """The faces that are looked at now."""
        counting = {candidate.track: candidate for candidate in seen if candidate.refused is None}
        return [counting[track] for track in self._in_turn(counting, frame.at)]

    def _sharpen(self, frame: Frame, chosen: Sequence[Candidate]) -> None:
        with self.stopwatch.lap("detect"):
            for candidate in chosen:
                candidate.face = candidate.track.face = self._lookout.sharpen(frame, candidate.face)

    def _look(self, frame: Frame, chosen: Sequence[Candidate]) -> list[Candidate]:
        """Chip and quality of faces, and a look at whether they live; those that are good enough."""
        with self.stopwatch.lap("look"):
            good = []
            for candidate in chosen:
                candidate.track.looked_at = frame.at
                look = look_at(frame.image, candidate.face, frame.at)
                candidate.chip = look.chip
                candidate.quality = quality.measure(
                    look.face, look.chip, frame.image.shape, look.pose
                )
                self._liveness.look(candidate.track.number, look)
                candidate.refused = quality.RECOGNISE.refuses(candidate.quality)
                if candidate.refused is None:
                    good.append(candidate)
            return good

    def _embed(self, frame: Frame, good: Sequence[Candidate]) -> None:
        """Embeds, and lets the tracker see who it is."""
        with self.stopwatch.lap("embed"):
            chips = [candidate.chip for candidate in good if candidate.chip is not None]
            probes = self.embedder.embed(np.stack(chips)) if chips else []
        with self.stopwatch.lap("track"):
            seen = [(candidate.track, probe) for candidate, probe in zip(good, probes, strict=True)]
            for candidate, probe, track in zip(
                good, probes, self._tracker.recognise(seen, frame.at), strict=True
            ):
                candidate.probe, candidate.track = probe, track

    def _decide(self, frame: Frame, seen: Sequence[Candidate]) -> list[Sighting]:
        with self.stopwatch.lap("search"):
            probes = [
                candidate.probe.embedding for candidate in seen if candidate.probe is not None
            ]
            matches = iter(self.gallery.search_all(np.stack(probes)) if probes else [])
        return [
            self._judge(frame, one, next(matches) if one.probe is not None else None)
            for one in seen
        ]

    def _judge(self, frame: Frame, candidate: Candidate, match: Match | None) -> Sighting:
        face, track, probe = candidate.face, candidate.track.number, candidate.probe
        if candidate.refused is not None:
            decision = policy.refuse(candidate.refused, frame.at)
            return Sighting(face, track, candidate.chip, None, decision, candidate.quality)
        if probe is None or candidate.quality is None:
            return Sighting(
                face, track, candidate.chip, None, policy.pass_over(frame.at), candidate.quality
            )
        with self.stopwatch.lap("search"):
            opinion = self._ask(candidate, probe, match)
        with self.stopwatch.lap("decide"):
            visible = quality.visible(opinion.probe)
            person = self._people(opinion.match.subject) if opinion.match else _PLAIN
            decision = self._weigh(opinion, person, candidate.track, frame.at)
            hidden = quality.RECOGNISE.refuses(visible)
            if hidden is not None:
                decision = policy.refuse(hidden, frame.at)
            answers = self._liveness.answers(
                track, frame.at, unsure=policy.unsure(decision, opinion.rules)
            )
            if person.liveness == "no-challenge":
                answers.pop(Challenge.name, None)
            decision = self._voting.count(track, decision, candidate.quality.weight, join(answers))
            seen = Sighting(
                face,
                track,
                candidate.chip,
                opinion.probe,
                decision,
                candidate.quality,
                visible,
                answers,
                opinion.before,
            )
            if self._changeover is not None and opinion.before:
                self._changeover.saw(seen, probe.embedding)
            return seen

    def _ask(self, candidate: Candidate, probe: Probe, match: Match | None) -> Opinion:
        """Who it is; in a changeover the model before is asked about whom the new one does not know."""
        changeover = self._changeover
        templates = self.gallery.templates + (changeover.templates if changeover else 0)
        now = Opinion(probe, match, policy.at_size(self._rules, templates))
        if changeover is None or candidate.chip is None or self._knows(now, candidate):
            return now
        (earlier,) = changeover.embedder.embed(candidate.chip[None])
        rules = policy.at_size(changeover.rules, templates)
        before = Opinion(earlier, changeover.search(earlier.embedding), rules, before=True)
        return before if self._knows(before, candidate) else now

    def _knows(self, opinion: Opinion, candidate: Candidate) -> bool:
        return (
            policy.judge(opinion.match, candidate.track.mask_worn, opinion.rules, 0.0).verdict
            is not Verdict.UNKNOWN
        )

    def _weigh(self, opinion: Opinion, person: SubjectRecord, track: Track, at: float) -> Decision:
        """One frame's decision by rules, the person's own rights and what others tried before."""
        rules = (
            opinion.rules
            if person.mask == "as-configured"
            else replace(opinion.rules, mask="ignore")
        )
        decision = policy.judge(opinion.match, track.mask_worn, rules, at)
        if decision.verdict is Verdict.UNKNOWN and opinion.match is not None:
            self._attempts.unknown(track.number, at)
        if decision.verdict is not Verdict.PENDING:
            return decision
        refused = (
            "too-many-attempts"
            if self._attempts.is_closed(at)
            else self._entry.rights.refuses(person)
        )
        return replace(decision, verdict=Verdict.REFUSED, reason=refused) if refused else decision
