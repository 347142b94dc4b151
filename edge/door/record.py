"""The door's record: what outlives the process, and what of it is known to be on disk."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edge.audit.bounded import BoundedLog, Job
from edge.audit.reading import read_tail
from edge.audit.retention import Retention
from edge.door.rules import Latches
from edge.door.wallclock import WallClock
from edge.errors import RecordError
from edge.values import DoorEvent

log = logging.getLogger(__name__)

LATCHES = tuple(latch.name for latch in fields(Latches))
_DOUBT = "latest_believed"  # a field of records made with a clock that was not believed
_REFUSALS = 4  # on record in each second; more are counted
_SECOND_S = 1.0
_LATEST = 253_402_300_799  # the last second of the year 9999: no clock of ours shows more


@dataclass(frozen=True, slots=True)
class Past:
    """What the end of the record says of the life before."""

    latches: Latches = field(default_factory=Latches)
    latest: float = 0.0  # Unix seconds: of the clock, while it was believed
    ended: str | None = None  # the last event
    trouble: str | None = None  # why nothing of this is known; then the door starts in lockdown


def past_of(path: Path) -> Past:
    """A look that changes nothing: the file may be full of what a crash left, or on a disk that takes nothing more."""
    try:
        tail = read_tail(path)
        latched = next((r["latches"] for r in tail if isinstance(r.get("latches"), list)), None)
        if tail and latched is None:
            raise RecordError(
                f"{path}: the record cannot be read: no line in its end tells the door's state"
            )
    except RecordError as error:
        return Past(Latches(lockdown=True), trouble=str(error))
    times = (r.get(_DOUBT, r.get("wall")) for r in tail)
    return Past(
        Latches(**{name: name in (latched or ()) for name in LATCHES}),
        max(
            (float(at) for at in times if isinstance(at, (int, float)) and abs(at) <= _LATEST),
            default=0.0,
        ),
        next((str(r["event"]) for r in tail if "event" in r), None),
    )


class DoorRecord:
    """Events with the states that outlive a restart. Nothing here waits; what has to be on disk is waited for by its job."""

    def __init__(
        self, log: BoundedLog, past: Past, latches: Callable[[], Latches], wall: WallClock
    ) -> None:
        self._log = log
        self._latches = latches
        self._wall = wall
        self._durable = None if past.trouble else past.latches
        self._jobs: deque[tuple[Job, Latches]] = deque()
        self._again_at = -math.inf  # when latches that are not on disk may be told again
        self._second = -math.inf  # when the present second of refusals began
        self._refusals = self._left_out = 0
        self.newest = Job({})  # the last that was posted

    @property
    def lost(self) -> int:
        return self._log.lost

    def post(self, event: DoorEvent, *, counted: bool = True, **more: int) -> Job:
        """Hand an event over; its job is done once it is on disk or has failed."""
        latches = self._latches()
        told = {key: value for key, value in asdict(event).items() if value is not None}
        _, believed = self._wall.look()
        doubt = {} if believed else {_DOUBT: self._wall.latest}
        job = self.newest = self._log.submit(
            {**told, **more, "latches": _names(latches), **doubt}, counted=counted
        )
        self._jobs.append((job, latches))
        return job

    def refused(self, event: DoorEvent) -> None:
        """At most a few in a second: who asks without end must not wear the disk out. The rest is counted."""
        self._begin_second(event.at)
        self._refusals += 1
        if self._refusals <= _REFUSALS:
            self.post(event)
        else:
            self._left_out += 1

    def keep_for(self, keep: Retention) -> None:
        """How long records stay, from now on."""
        self._log.obey(keep)

    def keep(self, now: float) -> None:
        """See what has reached the disk, and tell again what must not be forgotten: states, and refusals left out."""
        while self._jobs and self._jobs[0][0].done.is_set():
            job, latches = self._jobs.popleft()
            if job.written:
                self._durable = latches
            else:
                log.error("%s was not recorded: %s", job.fields["event"], job.error)
                self._left_out += int(job.fields.get("left_out", 0))
        if not self._jobs and self._durable != self._latches() and now >= self._again_at:
            self._again_at = now + _SECOND_S
            self.post(DoorEvent("latched", "again", now), counted=False)
        self._begin_second(now)

    def close(self) -> None:
        self._log.close()

    def _begin_second(self, now: float) -> None:
        if now - self._second >= _SECOND_S:
            self._second, self._refusals, left_out, self._left_out = now, 0, self._left_out, 0
            if left_out:
                self.post(DoorEvent("refused", "left-out", now), counted=False, left_out=left_out)


def _names(latches: Latches) -> list[str]:
    return [name for name in LATCHES if getattr(latches, name)]
