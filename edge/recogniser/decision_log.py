"""Audit log of the recogniser: decisions, events, evidence pictures and their retention."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from typing import Any

from edge.access.reasons import Reason
from edge.audit import handover, picture_store
from edge.audit.attention import explanation_fields, overlay
from edge.audit.decision import decision_fields
from edge.audit.kinds import GapReason, RecordKind
from edge.audit.retention import Retention
from edge.audit.sealing import picture_cipher, score_cipher
from edge.audit.writer import AuditLogWriter
from edge.config import TerminalConfig
from edge.errors import RecordError
from edge.face.explanation import ScoreExplanation
from edge.system.wallclock import WallClock
from edge.values import Decision, FaceResult, Frame, Verdict

log = logging.getLogger(__name__)

_REPEAT_S = 1.0  # an unchanged verdict is recorded again after this time
_HELD_S = 5.0  # a grant that waits is recorded again if it did not wait for this time
_HOLDS = (Reason.OTHER_LANE, Reason.ONE_AT_A_TIME)
_THROTTLE_S = 10.0  # a message about the same topic is logged again after this time


class LogThrottle:
    """Limits repeated messages to one per topic in `_THROTTLE_S`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged: dict[str, float] = {}  # by topic: time of the last message

    def error(self, topic: str, message: str) -> None:
        """Log an error unless the topic had one a short time ago."""
        if self.is_due(topic):
            log.error(message)

    def is_due(self, topic: str) -> bool:
        """Return True if a message of a topic may be logged now, and count it as logged."""
        now = self._clock()
        if now - self._logged.get(topic, -math.inf) < _THROTTLE_S:
            return False
        self._logged[topic] = now
        return True


class DecisionLog:
    """Writes the audit log `decisions` and the evidence pictures of one recogniser."""

    def __init__(
        self, config: TerminalConfig, key: bytes, wall: WallClock, throttle: LogThrottle
    ) -> None:
        self._config, self._key, self._wall = config, key, wall
        self._throttle = throttle
        self._recorded: dict[tuple[str, str, str], float] = {}
        self._held: dict[tuple[int, Reason], float] = {}  # by track: time of the last frame
        self._score_cipher = score_cipher(key, config.terminal)
        self._writer = AuditLogWriter(
            config.decisions_path,
            log_id=config.log_id(config.decisions_path),
            encrypt=lambda number, text: self._score_cipher.encrypt_text(number, text),
        )
        self._writer.clock = wall
        self.update_config(config)

    def update_key(self, key: bytes) -> None:
        """Encrypt scores and pictures with another key from now on."""
        self._key = key
        self._score_cipher = score_cipher(key, self._config.terminal)
        self.update_config(self._config)

    def update_config(self, config: TerminalConfig) -> None:
        """Apply another retention and number of pictures from now on."""
        self._config = config
        record = config.record
        self._writer.retention = Retention(record.delete_after_days, record.redact_after_days)
        self._pictures = picture_store.PictureStore(
            config.pictures_path,
            record.max_pictures,
            record.delete_pictures_after_days,
            picture_cipher(self._key, config.terminal),
            self._wall,
        )

    @property
    def grants_unrecorded(self) -> bool:
        """True if people are admitted while the audit log cannot be written."""
        return self._config.record.on_write_failure == "open"

    def start(self, fields: dict[str, Any]) -> None:
        """Record the start of the process, and a gap if the previous one was not stopped."""
        previous = self._writer.last("kind")
        try:
            if previous not in (None, RecordKind.STOPPED):
                self._writer.append({"kind": RecordKind.GAP, "reason": GapReason.UNCLEAN_STOP})
            self._writer.append({"kind": RecordKind.STARTED, **fields})
        except RecordError as error:
            self._throttle.error("record", str(error))

    def append_decision(
        self, frame: Frame, result: FaceResult, model: str, engine: str
    ) -> int | None:
        """Record a decision, a grant durably; return its number, None if it was not written."""
        is_grant = result.decision.verdict is Verdict.GRANT
        fields = decision_fields(frame, result, model, engine)
        try:
            return self._writer.append(fields, durable=is_grant)
        except RecordError as error:
            outcome = (
                "people are admitted without a record"
                if self.grants_unrecorded
                else "no one is admitted until it can be written"
            )
            self._throttle.error("record", f"{error}; {outcome}")
            return None

    def append_event(self, fields: dict[str, Any]) -> None:
        """Record an event; a failure is only logged."""
        try:
            self._writer.append(fields, durable=False)
        except RecordError as error:
            self._throttle.error("record", str(error))

    def append_handover(self) -> None:
        """Record the fields that an enrollment left; it waits until the file is removed."""
        path = self._config.handover_path
        try:
            fields = handover.read(path)
        except RecordError as error:
            self._throttle.error("handover", str(error))
            fields = {}
        try:
            if fields:
                self._writer.append(fields)
            if fields is not None:
                handover.remove(path)
        except RecordError as error:
            self._throttle.error("record", str(error))

    @property
    def has_pictures(self) -> bool:
        """True if evidence pictures are configured."""
        return self._config.record.max_pictures > 0

    def append_explanation(self, record_id: int, explanation: ScoreExplanation) -> None:
        """Record how the score of a decision is made up; a failure is only logged."""
        fields = {"decision": record_id, "explanation": explanation_fields(explanation)}
        self.append_event({"kind": RecordKind.EXPLANATION, **fields})

    def save_picture(
        self, record_id: int, result: FaceResult, explanation: ScoreExplanation | None
    ) -> None:
        """Store the chip of a decision with its attention, if pictures are configured."""
        if not self.has_pictures or result.chip is None or result.probe is None:
            return
        self._pictures.save(record_id, overlay(result.chip, result.probe.attention, explanation))

    def is_repeated(self, result: FaceResult) -> bool:
        """Return True if the same verdict was recorded a short time ago.

        A person who stays in front of the terminal does not fill the disk. A grant that waits is
        recorded once for each track.
        """
        decision = result.decision
        if decision.reason in _HOLDS:
            return self._is_held(result.track, decision)
        is_named = decision.match is not None and decision.verdict is not Verdict.UNKNOWN
        subject = decision.match.subject if decision.match is not None and is_named else ""
        key = (decision.verdict.value, decision.reason.value, subject)
        now = decision.frame_at
        self._recorded = {k: at for k, at in self._recorded.items() if now - at < _REPEAT_S}
        return self._recorded.setdefault(key, now) != now

    def _is_held(self, track: int, decision: Decision) -> bool:
        """Return True if a track was held for the same reason before; note its newest frame."""
        now = decision.frame_at
        self._held = {key: at for key, at in self._held.items() if now - at < _HELD_S}
        is_known = (track, decision.reason) in self._held
        self._held[track, decision.reason] = now
        return is_known

    def log_refusal(self, record_id: int, decision: Decision) -> None:
        """Log why a face is not granted access, without a name; throttled by reason."""
        if decision.verdict not in (Verdict.UNKNOWN, Verdict.REFUSED):
            return
        if self._throttle.is_due(f"refused: {decision.reason}"):
            log.info("decision %d: %s (%s)", record_id, decision.verdict, decision.reason)

    def run_maintenance(self) -> None:
        """Erase what is older than the configuration allows; may take the time of a write."""
        self._writer.run_maintenance()
        self._pictures.run_maintenance()

    def close(self) -> None:
        """Record that the process stopped. Without that record the next start records a gap."""
        with contextlib.suppress(RecordError):
            self._writer.append({"kind": RecordKind.STOPPED})
        self._writer.close()
