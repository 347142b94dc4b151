"""Following of the gallery's file by the recogniser."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge.access.reasons import Reason
from edge.audit.kinds import RecordEvent, RecordKind
from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery.confirmation import write_confirmation
from edge.gallery.database import EVIDENCE, Position
from edge.gallery.outage import GalleryOutage
from edge.recogniser.build import Recogniser
from edge.recogniser.decision_log import DecisionLog, LogThrottle

log = logging.getLogger(__name__)

_CONFIRM_AGAIN_S = 1.0  # pause after a confirmation that could not be written


class GalleryFollower:
    """Loads changes of the gallery, and refuses all people while it cannot be read.

    All people are refused once reading failed for `gallery.unreadable_s`. Commands that change the
    gallery wait for the confirmation that is written here.
    """

    def __init__(
        self,
        config: TerminalConfig,
        recogniser: Recogniser,
        records: DecisionLog,
        throttle: LogThrottle,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._gallery, self._store = recogniser.gallery, recogniser.store
        self._migration = recogniser.migration
        self._records, self._throttle, self._clock = records, throttle, clock
        self._outage = GalleryOutage(config.gallery.unreadable_s, clock())
        self._confirmed: Position | None = None
        self._confirm_at = clock()  # earliest time of the next confirmation

    @property
    def refusal(self) -> Reason | None:
        """Reason while all people are refused."""
        return self._outage.refusal

    @property
    def size(self) -> dict[str, int]:
        """Size for records: it shows that an older gallery was put in place."""
        return {"subjects": self._gallery.index.subjects, "templates": self._gallery.templates}

    def update_config(self, config: TerminalConfig) -> None:
        """Apply another configuration from now on."""
        self._config = config
        self._outage.limit_s = config.gallery.unreadable_s

    def reload(self) -> None:
        """Load all subjects again; raises GalleryError."""
        previous = self._gallery.revision
        self._gallery.reload()
        if self._gallery.revision < previous:
            self.record_rollback(previous)
        if self._migration is not None:
            self._migration.reload()

    def refresh(self) -> None:
        """Load what changed in the file; after a limit of failures all people are refused."""
        previous = self._gallery.revision
        try:
            if self._migration is not None:
                self._migration.refresh()
            changed = self._gallery.refresh()
        except GalleryError as error:
            self._note_unreadable(error)
            return
        if (lasted := self._outage.record_success(self._clock())) is not None:
            self._gallery.refusal = None
            log.info("the gallery can be read again after %.0f s", lasted)
            fields = {
                "kind": RecordKind.GALLERY,
                "event": RecordEvent.READABLE,
                "after_s": round(lasted),
            }
            self._records.append_event(fields)
        if changed:
            log.info("gallery changed: %d subjects", self._gallery.index.subjects)
            self._records.append_event({"kind": RecordKind.GALLERY, **self.size})
            self._update_key()
        if self._gallery.revision < previous:
            self.record_rollback(previous)
        self.confirm()

    def record_rollback(self, previous: int) -> None:
        """Record that the gallery is older than before: removed people may be enrolled again."""
        now = self._gallery.revision
        log.warning(
            "the gallery went back from revision %d to %d: an older copy was put in place, removed "
            "people may be back; check with edge-gallery list",
            previous,
            now,
        )
        fields = {
            "kind": RecordKind.GALLERY,
            "event": RecordEvent.OLDER,
            "from": previous,
            "to": now,
        }
        self._records.append_event({**fields, **self.size})

    def confirm(self) -> None:
        """Write the gallery's position in memory, for commands that wait for it."""
        position = self._gallery.position
        if position == self._confirmed or self._clock() < self._confirm_at:
            return
        try:
            write_confirmation(self._config.gallery_confirmed_path, position)
            self._confirmed = position
        except GalleryError as error:
            self._confirm_at = self._clock() + _CONFIRM_AGAIN_S
            self._throttle.error("confirmation", str(error))

    def _note_unreadable(self, error: GalleryError) -> None:
        begins = self._outage.record_failure(error, self._clock())
        reason = self._gallery.refusal = self._outage.refusal
        if begins:
            log.error(
                "gallery: %s; all people are refused (%s) until it can be read", error, reason
            )
            fields = {"kind": RecordKind.GALLERY, "event": RecordEvent.UNREADABLE, "reason": reason}
            self._records.append_event(fields)
            return
        limit = "" if reason else f" after {self._outage.limit_s:g} s"
        self._throttle.error("gallery", f"gallery: {error}; all people are refused{limit}")

    def _update_key(self) -> None:
        """Read the key of scores and pictures again: the gallery may have been replaced."""
        try:
            self._records.update_key(self._store.read_secret(EVIDENCE))
        except GalleryError as error:
            self._throttle.error("gallery", str(error))
