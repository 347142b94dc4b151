"""Requests of the recogniser to the door process."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

from edge.access.policy import mask_state
from edge.access.reasons import Reason
from edge.audit.decision import door_fields
from edge.config.lane import PANEL
from edge.door.client import DoorClient
from edge.door.protocol import WaitingAnswer
from edge.errors import DoorError
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.values import Decision, Grant

log = logging.getLogger(__name__)

RETRY_GRANT_S = 1.0  # a grant that did not open the door is requested again after this time
UNREACHABLE = "unreachable"  # instead of a refusal
_UNLOCKED = "unlocked"


@dataclass(frozen=True, slots=True)
class GrantOutcome:
    """Answer of the door. `prompt` is what the person must do if the request waits."""

    is_unlocked: bool
    refusal: str = ""  # code; empty if the door unlocked or the request waits
    prompt: Reason | None = None
    missing: tuple[str, ...] = ()  # factors of a request that waits
    until: float = 0.0  # monotonic seconds until which the face waits
    grant: Grant | None = None

    @property
    def is_answered(self) -> bool:
        """True if the door was requested and answered."""
        return self.grant is not None and self.refusal != UNREACHABLE


class GrantRequester:
    """Requests the door to unlock for people at a lane, and records its answer."""

    def __init__(
        self, door: DoorClient, lane: str, records: DecisionLog, throttle: LogThrottle
    ) -> None:
        self._door, self._lane = door, lane
        self._records, self._throttle = records, throttle

    def request(self, decision: Decision, subject: str, record_id: int) -> GrantOutcome:
        """Request one unlocking for a recorded decision; return the answer of the door."""
        grant = Grant(
            secrets.token_hex(8),
            subject,
            record_id,
            decision.frame_at,
            self._lane,
            masked=mask_state(decision.mask_worn) != "unmasked",
            claimed=decision.match is not None and decision.match.is_claimed,
        )
        outcome, text = self._send(grant)
        self._log(record_id, text, outcome.prompt)
        self._records.append_event(door_fields(grant, text))
        return outcome

    def _send(self, grant: Grant) -> tuple[GrantOutcome, str]:
        """Return the answer of the door, and its text for records."""
        try:
            refusal = self._door.grant(grant)
        except DoorError as error:
            self._throttle.error("door", str(error))
            outcome = GrantOutcome(is_unlocked=False, refusal=UNREACHABLE, grant=grant)
            return outcome, UNREACHABLE
        if (waiting := self._door.waiting) is not None:
            prompt = prompt_from(waiting)
            outcome = GrantOutcome(
                is_unlocked=False,
                prompt=prompt,
                missing=waiting.missing,
                until=waiting.until,
                grant=grant,
            )
            return outcome, f"waiting: {prompt}"
        if refusal is None:
            return GrantOutcome(is_unlocked=True, grant=grant), _UNLOCKED
        outcome = GrantOutcome(is_unlocked=False, refusal=refusal, grant=grant)
        return outcome, f"refused: {refusal}"

    def _log(self, record_id: int, text: str, prompt: Reason | None) -> None:
        if prompt is not None:
            log.info("decision %d: match, %s", record_id, prompt.sentence)
            return
        verdict = "access granted" if text == _UNLOCKED else "match, no access"
        log.info("decision %d: %s, door %s", record_id, verdict, text)


def prompt_from(waiting: WaitingAnswer) -> Reason:
    """Return what the person must do to complete the request."""
    factors = set(waiting.missing)
    if PANEL in factors:
        return Reason.PANEL_DECIDES
    if {"card", "pin"} <= factors:
        return Reason.CARD_OR_PIN
    if "card" in factors:
        return Reason.PRESENT_CARD
    return Reason.ENTER_PIN if "pin" in factors else Reason.SECOND_PERSON
