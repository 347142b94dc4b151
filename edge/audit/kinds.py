"""Kinds of audit records and the reasons that the log itself records."""

from __future__ import annotations

from edge.codes import Code


class RecordKind(Code):
    """Field `kind` of a record. Values are stored: never change one."""

    CAMERA = "camera", "the camera was lost or came back"
    CHANGEOVER = "changeover", "a subject was enrolled for the new model during migration"
    CLOCK = "clock", "the trust in the clock changed"
    DECISION = "decision", "the recogniser decided on a face"
    DOOR = "door", "the door process answered a grant"
    ENROLLMENT = "enrollment", "an enrollment used the camera, or left a record"
    GALLERY = "gallery", "the gallery changed, became unreadable or readable"
    GAP = "gap", "records are missing, or the process was stopped without notice"
    RETENTION = "retention", "old records or personal parts were erased, or could not be"
    STARTED = "started", "the process started"
    STOPPED = "stopped", "the process stopped"


class GapReason(Code):
    """Reason of a `gap` record. Values are stored: never change one."""

    LOST_TAIL = "lost-tail", "records that were not yet synced were lost by a power cut"
    CUT_TAIL = "cut-tail", "records that were on disk are missing"
    NEW_CHAIN = "new-chain", "the writer state was lost, a new chain begins"
    UNCLEAN_STOP = "unclean-stop", "the process was stopped without notice"


class RetentionReason(Code):
    """Reason of a `retention` record. Values are stored: never change one."""

    REMOVED = "removed", "segments up to a record were removed"
    BLANKED = "blanked", "personal parts up to a record were erased"
    CLOCK_UNTRUSTED = "clock-untrusted", "erasure was due and did not run: the clock is not trusted"
