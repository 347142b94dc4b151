"""Requests of the recogniser to the door process."""

from __future__ import annotations

import logging
import secrets

from edge.audit.decision import door_fields
from edge.door.client import DoorClient
from edge.errors import DoorError
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.recogniser.pipeline_values import SubjectLookup
from edge.values import Decision, Grant

log = logging.getLogger(__name__)


class GrantRequester:
    """Requests the door to unlock, and records its answer."""

    def __init__(
        self, door: DoorClient, lookup: SubjectLookup, records: DecisionLog, throttle: LogThrottle
    ) -> None:
        self._door, self._lookup = door, lookup
        self._records, self._throttle = records, throttle

    def request(self, decision: Decision, subject: str, record_id: int) -> bool:
        """Request one unlocking for a recorded decision; return True if the door unlocked."""
        record = self._lookup(subject)
        extended = record is not None and record.extended
        grant = Grant(secrets.token_hex(8), subject, record_id, decision.frame_at, extended)
        try:
            refusal = self._door.grant(grant)
            outcome = "unlocked" if refusal is None else f"refused: {refusal}"
        except DoorError as error:
            outcome = "unreachable"
            self._throttle.error("door", str(error))
        verdict = "access granted" if outcome == "unlocked" else "match, no access"
        log.info("decision %d: %s, door %s", record_id, verdict, outcome)
        self._records.append_event(door_fields(grant, outcome))
        return outcome == "unlocked"
