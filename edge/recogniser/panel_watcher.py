"""Answers of an access control panel to the grants of the recogniser."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from edge.audit.decision import door_fields
from edge.codes import sentence_of
from edge.door.client import DoorClient
from edge.door.readers.panel_events import PanelVerdict
from edge.errors import DoorError
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.values import Grant

log = logging.getLogger(__name__)

_INTERVAL_S = 0.1
_GRANTING = (PanelVerdict.GRANTED, PanelVerdict.SENT)


@dataclass(frozen=True, slots=True)
class PanelGrant:
    """Grant that the panel decides about, with the track of its face."""

    grant: Grant
    track: int
    asked_at: float  # monotonic seconds
    until: float


@dataclass(frozen=True, slots=True)
class PanelOutcome:
    """Answer of the panel to a grant; `verdict` is a code."""

    asked: PanelGrant
    verdict: str

    @property
    def is_granted(self) -> bool:
        return self.verdict in _GRANTING


class PanelWatcher:
    """Asks the door for the answer to one grant at a time, at most ten times a second."""

    def __init__(
        self,
        door: DoorClient,
        records: DecisionLog,
        throttle: LogThrottle,
        clock: Callable[[], float],
    ) -> None:
        self._door, self._records = door, records
        self._throttle, self._clock = throttle, clock
        self._watched: PanelGrant | None = None
        self._next_at = -math.inf

    def watch(self, grant: PanelGrant) -> None:
        """Follow a grant from now on."""
        self._watched = grant

    def update(self) -> PanelOutcome | None:
        """Record and return an answer that arrived, also that none came in time."""
        watched, now = self._watched, self._clock()
        if watched is None or now < self._next_at:
            return None
        self._next_at = now + _INTERVAL_S
        verdict = self._ask(watched.grant.id)
        if verdict is None and now < watched.until:
            return None
        self._watched = None
        verdict = verdict or PanelVerdict.NO_ANSWER
        log.info("decision %d: %s", watched.grant.record_id, sentence_of(PanelVerdict, verdict))
        self._records.append_event(door_fields(watched.grant, verdict))
        return PanelOutcome(watched, verdict)

    def _ask(self, grant_id: str) -> str | None:
        try:
            return self._door.panel_verdict(grant_id)
        except DoorError as error:
            self._throttle.error("door", str(error))
            return None
