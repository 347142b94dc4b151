"""The recogniser's loop with times of each step: recognise, record grants, request the door."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.audit.decision import decision_fields, door_fields
from edge.audit.writer import AuditLogWriter
from edge.bench.door import BenchDoor
from edge.bench.networks import TimedNetworks
from edge.config.lane import DEFAULT_LANE
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
)  # other stages follow
_TRACKS_MOST = 256
_ASK_AGAIN_S = 1.0  # as the recogniser retries


@dataclass(frozen=True, slots=True)
class GrantTiming:
    """Times of one grant, by the loop's clock."""

    frame_at: float  # of the newest voting frame
    first_usable_at: float | None  # of the person, on the first grant of a track
    granted_at: float  # when it was recorded
    requested_at: float | None  # when the door was requested
    answered_at: float | None  # if the door opened


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """Times of one frame in seconds; points in time by the loop's clock."""

    at: float  # of the frame
    age_s: float  # when processing started
    busy_s: float
    decided_s: float  # from the frame's timestamp to the last decision
    stages: dict[str, float]
    detector: list[float]  # calls
    embedder: list[float]
    faces: int
    embedded: int
    grants: tuple[GrantTiming, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Return True if no search was due and every track was decided."""
        return not self.detector

    @property
    def outside_s(self) -> float:
        """Return the time outside the networks."""
        return self.busy_s - sum(self.detector) - sum(self.embedder)


class ReplayClock:
    """Clock that restarts at the time of each frame, for frames from memory."""

    def __init__(self) -> None:
        self._offset = 0.0

    def begin(self, at: float) -> None:
        self._offset = at - time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() + self._offset


@dataclass(slots=True, eq=False)
class BenchLoop:
    """Without `record` or `door` a grant is not followed further."""

    pipeline: Pipeline
    timed: TimedNetworks
    record: AuditLogWriter | None = None
    door: BenchDoor | None = None
    clock: Callable[[], float] = time.monotonic
    _usable: dict[int, float] = field(default_factory=dict)  # track -> its first usable frame
    _granted: set[int] = field(default_factory=set)  # tracks

    def process_frame(self, frame: Frame) -> FrameTiming:
        """Process one frame; raises EngineError, RecordError or DoorError."""
        begun = self.clock()
        results = self.pipeline.recognise(frame)
        decided = self.clock()
        stages = self.pipeline.stopwatch.reset()
        grants = tuple(
            self._grant(frame, s, stages) for s in results if self._is_grant(s, frame.at)
        )
        return FrameTiming(
            frame.at,
            begun - frame.at,
            self.clock() - begun,
            decided - frame.at,
            stages,
            self.timed.detector.take(),
            self.timed.embedder.take(),
            len(results),
            sum(s.probe is not None for s in results),
            grants,
        )

    def reset_clocks(self) -> None:
        """Clear the times of the networks, after a warm-up."""
        self.pipeline.stopwatch.reset()
        self.timed.detector.take()
        self.timed.embedder.take()

    def _is_grant(self, result: FaceResult, at: float) -> bool:
        decision = result.decision
        if result.probe is not None or decision.verdict is not Verdict.REFUSED:
            self._usable.setdefault(result.track, at)
        if len(self._usable) > _TRACKS_MOST:
            oldest = next(iter(self._usable))
            del self._usable[oldest]
            self._granted.discard(oldest)
        return decision.verdict is Verdict.GRANT and decision.match is not None

    def _grant(self, frame: Frame, result: FaceResult, stages: dict[str, float]) -> GrantTiming:
        """Record the grant durably, request the door and record its answer, like the recogniser."""
        decision, number = result.decision, NOT_RECORDED
        assert decision.match is not None
        started = self.clock()
        if self.record is not None:
            networks = self.timed.networks
            model, engine = (
                networks.bundle.model_digest[:12],
                f"{networks.engine} {networks.precision}",
            )
            number = self.record.append(decision_fields(frame, result, model, engine))
        granted = self.clock()
        grant = Grant(
            secrets.token_hex(8), decision.match.subject, number, decision.frame_at, DEFAULT_LANE
        )
        answered = self._request_door(result.track, grant)
        ended = self.clock()
        if self.record is not None:
            self.record.append(
                door_fields(grant, "unlocked" if answered is not None else "not asked or refused"),
                durable=False,
            )
        stages["record"] = stages.get("record", 0.0) + granted - started + self.clock() - ended
        if self.door is not None:
            stages["door"] = stages.get("door", 0.0) + ended - granted
        first = None if result.track in self._granted else self._usable.get(result.track)
        self._granted.add(result.track)
        return GrantTiming(
            decision.frame_at, first, granted, granted if self.door is not None else None, answered
        )

    def _request_door(self, track: int, grant: Grant) -> float | None:
        """Return the time of the answer if the door opened, else None."""
        if self.door is None:
            return None
        if self.door.grant(grant) is None:
            return self.clock()
        self.pipeline.revoke_grant(track, grant.subject, _ASK_AGAIN_S)
        return None
