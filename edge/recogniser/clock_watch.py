"""Trust of the recogniser in the wall clock: changes are recorded, confirmations adopted."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from edge.audit.clock import confirmation_field, write_trust
from edge.audit.kinds import ClockReason, RecordKind
from edge.config import TerminalConfig
from edge.door.client import DoorClient
from edge.door.clock_trust import adopt_confirmation, describe_doubt
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.system.wallclock import REMEDY, ClockDoubt, WallClock

log = logging.getLogger(__name__)

_CHECK_S = 1.0  # interval of clock checks
_ASK_DOOR_S = 5.0  # interval of asking the door for a confirmation while the clock is in doubt
_SAVE_S = 60.0  # interval of writing the trust in the clock


class ClockWatcher:
    """Checks the wall clock once a second."""

    def __init__(
        self,
        config: TerminalConfig,
        wall: WallClock,
        door: DoorClient,
        records: DecisionLog,
        throttle: LogThrottle,
        clock: Callable[[], float],
    ) -> None:
        self._path, self._wall, self._door = config.clock_path, wall, door
        self._records, self._throttle, self._clock = records, throttle, clock
        self._doubt: ClockDoubt | None = None
        self._checked_at = self._asked_at = self._saved_at = -math.inf

    def check(self) -> None:
        """Check the clock if it is time: record changes, adopt a confirmation, save."""
        now = self._clock()
        if now - self._checked_at < _CHECK_S:
            return
        self._checked_at = now
        doubt = self._wall.read_with_doubt()[1]
        if doubt and now - self._asked_at >= _ASK_DOOR_S:
            self._asked_at = now
            if adopt_confirmation(self._wall, self._door):
                doubt = None
                confirmed = confirmation_field(self._wall.trust)
                self._records.append_event(
                    {"kind": RecordKind.CLOCK, "reason": ClockReason.CLOCK_TRUSTED, **confirmed}
                )
                self._saved_at = -math.inf
        if doubt is not self._doubt:
            self._doubt = doubt
            self._note(doubt)
        if now - self._saved_at >= _SAVE_S:
            self._saved_at = now
            self.save()

    def save(self) -> None:
        """Write the trust in the clock, for the next start."""
        try:
            write_trust(self._path, self._wall)
        except OSError as error:
            self._throttle.error("clock", f"{self._path}: not written: {error.strerror}")

    def _note(self, doubt: ClockDoubt | None) -> None:
        reason = doubt or ClockReason.BELIEVED
        self._records.append_event({"kind": RecordKind.CLOCK, "reason": reason})
        if doubt is None:
            log.info("the clock is trusted again")
        else:
            outcome = "people with a first or last day are refused and nothing is erased"
            log.warning("%s; %s; %s", describe_doubt(doubt), outcome, REMEDY)
