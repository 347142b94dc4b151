"""The recogniser's loop with a clock on each step: recognise, record what is granted, ask the door."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.audit.decision import decision_fields, door_fields
from edge.audit.writer import AuditLogWriter
from edge.bench.door import BenchDoor
from edge.bench.networks import Timed
from edge.recogniser.pipeline import Pipeline
from edge.values import NOT_RECORDED, FaceResult, Frame, Grant, Verdict

STAGES = (
    "capture",
    "detect",
    "track",
    "look",
    "embed",
    "search",
    "decide",
    "record",
    "door",
)  # others are told after these
_TRACKS_MOST = 256
_ASK_AGAIN_S = 1.0  # as the recogniser asks a door that did not open


@dataclass(frozen=True, slots=True)
class Granted:
    """One grant; moments by the loop's clock."""

    frame_at: float  # of the newest voting frame
    first_usable_at: float | None  # of the person, where this is the first grant of a track
    granted_at: float  # when it was on record
    asked_at: float | None  # the door
    answered_at: float | None  # where the door opened


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """What one frame cost, in seconds; moments by the loop's clock."""

    at: float  # of the frame
    age_s: float  # when it was taken up
    busy_s: float
    decided_s: float  # from the frame's timestamp to the last decision
    stages: dict[str, float]
    detector: list[float]  # calls
    embedder: list[float]
    faces: int
    embedded: int
    grants: tuple[Granted, ...] = ()

    @property
    def is_rest(self) -> bool:
        """Whether nothing was to be looked at: a search of the whole picture was not due, and everybody is decided."""
        return not self.detector

    @property
    def outside_s(self) -> float:
        """Everything but the networks."""
        return self.busy_s - sum(self.detector) - sum(self.embedder)


class ReplayClock:
    """A clock that starts anew with each frame at the frame's own time: frames from memory, dated as by a camera."""

    def __init__(self) -> None:
        self._offset = 0.0

    def begin(self, at: float) -> None:
        self._offset = at - time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() + self._offset


@dataclass(slots=True, eq=False)
class Loop:
    """`record` and `door` may be absent: then grants are followed no further."""

    pipeline: Pipeline
    timed: Timed
    record: AuditLogWriter | None = None
    door: BenchDoor | None = None
    clock: Callable[[], float] = time.monotonic
    _usable: dict[int, float] = field(default_factory=dict)  # track -> its first usable frame
    _granted: set[int] = field(default_factory=set)  # tracks

    def turn(self, frame: Frame) -> FrameTiming:
        """Raises EngineError, RecordError or DoorError."""
        begun = self.clock()
        sightings = self.pipeline.recognise(frame)
        decided = self.clock()
        stages = self.pipeline.stopwatch.reset()
        grants = tuple(
            self._grant(frame, s, stages) for s in sightings if self._is_grant(s, frame.at)
        )
        return FrameTiming(
            frame.at,
            begun - frame.at,
            self.clock() - begun,
            decided - frame.at,
            stages,
            self.timed.detector.take(),
            self.timed.embedder.take(),
            len(sightings),
            sum(s.probe is not None for s in sightings),
            grants,
        )

    def forget(self) -> None:
        """What the clocks on the networks hold, as after a warm-up."""
        self.pipeline.stopwatch.reset()
        self.timed.detector.take()
        self.timed.embedder.take()

    def _is_grant(self, sighting: FaceResult, at: float) -> bool:
        decision = sighting.decision
        if sighting.probe is not None or decision.verdict is not Verdict.REFUSED:
            self._usable.setdefault(sighting.track, at)
        if len(self._usable) > _TRACKS_MOST:
            oldest = next(iter(self._usable))
            del self._usable[oldest]
            self._granted.discard(oldest)
        return decision.verdict is Verdict.GRANT and decision.match is not None

    def _grant(self, frame: Frame, sighting: FaceResult, stages: dict[str, float]) -> Granted:
        """Durably on record before the door is asked, and then what it said, as the recogniser does it."""
        decision, number = sighting.decision, NOT_RECORDED
        assert decision.match is not None
        started = self.clock()
        if self.record is not None:
            networks = self.timed.networks
            model, engine = (
                networks.bundle.model_digest[:12],
                f"{networks.engine} {networks.precision}",
            )
            number = self.record.append(decision_fields(frame, sighting, model, engine))
        granted = self.clock()
        grant = Grant(secrets.token_hex(8), decision.match.subject, number, decision.frame_at)
        answered = self._ask(sighting.track, grant)
        ended = self.clock()
        if self.record is not None:
            self.record.append(
                door_fields(grant, "unlocked" if answered is not None else "not asked or refused"),
                durable=False,
            )
        stages["record"] = stages.get("record", 0.0) + granted - started + self.clock() - ended
        if self.door is not None:
            stages["door"] = stages.get("door", 0.0) + ended - granted
        first = None if sighting.track in self._granted else self._usable.get(sighting.track)
        self._granted.add(sighting.track)
        return Granted(
            decision.frame_at, first, granted, granted if self.door is not None else None, answered
        )

    def _ask(self, track: int, grant: Grant) -> float | None:
        """When the door answered that it opened; None where it did not, or there is none."""
        if self.door is None:
            return None
        if self.door.grant(grant) is None:
            return self.clock()
        self.pipeline.revoke_grant(track, grant.subject, _ASK_AGAIN_S)
        return None
