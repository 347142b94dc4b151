"""Kinds of audit records and the reasons that the log itself records."""

from __future__ import annotations

from enum import Enum


class RecordKind(str, Enum):
    """Field `kind` of a record. Values are stored: never change one."""

    CAMERA = "camera"
    CHANGEOVER = "changeover"
    CLOCK = "clock"
    DECISION = "decision"
    DOOR = "door"
    ENROLLMENT = "enrollment"
    GALLERY = "gallery"
    GAP = "gap"
    RETENTION = "retention"
    STARTED = "started"
    STOPPED = "stopped"

    @property
    def sentence(self) -> str:
        """Sentence for an auditor."""
        return _KIND_SENTENCES[self]


class GapReason(str, Enum):
    """Reason of a `gap` record. Values are stored: never change one."""

    LOST_TAIL = "lost-tail"
    CUT_TAIL = "cut-tail"
    NEW_CHAIN = "new-chain"
    UNCLEAN_STOP = "unclean-stop"

    @property
    def sentence(self) -> str:
        """Sentence for an auditor."""
        return _GAP_SENTENCES[self]


class RetentionReason(str, Enum):
    """Reason of a `retention` record. Values are stored: never change one."""

    REMOVED = "removed"
    BLANKED = "blanked"
    CLOCK_UNTRUSTED = "clock-untrusted"

    @property
    def sentence(self) -> str:
        """Sentence for an auditor."""
        return _RETENTION_SENTENCES[self]


_KIND_SENTENCES = {
    RecordKind.CAMERA: "The camera was lost or came back.",
    RecordKind.CHANGEOVER: "A subject was enrolled for the new model during migration.",
    RecordKind.CLOCK: "The trust in the clock changed.",
    RecordKind.DECISION: "The recogniser decided on a face.",
    RecordKind.DOOR: "The door process answered a grant.",
    RecordKind.ENROLLMENT: "An enrollment used the camera, or left a record.",
    RecordKind.GALLERY: "The gallery changed, became unreadable or readable.",
    RecordKind.GAP: "Records are missing, or the process was stopped without notice.",
    RecordKind.RETENTION: "Old records or personal parts were erased, or could not be.",
    RecordKind.STARTED: "The process started.",
    RecordKind.STOPPED: "The process stopped.",
}
_GAP_SENTENCES = {
    GapReason.LOST_TAIL: "Records that were not yet synced were lost by a power cut.",
    GapReason.CUT_TAIL: "Records that were on disk are missing.",
    GapReason.NEW_CHAIN: "The writer state was lost, a new chain begins.",
    GapReason.UNCLEAN_STOP: "The process was stopped without notice.",
}
_RETENTION_SENTENCES = {
    RetentionReason.REMOVED: "Segments up to a record were removed.",
    RetentionReason.BLANKED: "Personal parts up to a record were erased.",
    RetentionReason.CLOCK_UNTRUSTED: "Erasure was due and did not run: the clock is not trusted.",
}
