"""Kinds of audit records and the reasons that the log itself records."""

from __future__ import annotations

from edge.codes import Code


class RecordKind(Code):
    """Field `kind` of a record. Values are stored: never change one."""

    CAMERA = "camera", "the camera was lost or came back"
    CHANGEOVER = "changeover", "a subject was enrolled for the new model during migration"
    CLOCK = "clock", "the trust in the clock changed"
    CONSOLE = "console", "a user of the console did something, or was refused"
    DECISION = "decision", "the recogniser decided on a face"
    DOOR = "door", "the door process answered a grant"
    ENROLLMENT = "enrollment", "an enrollment used the camera, or left a record"
    EXPLANATION = "explanation", "the score of a decision, split over the face"
    GALLERY = "gallery", "the gallery changed, became unreadable or readable"
    GAP = "gap", "records are missing, or the process was stopped without notice"
    RETENTION = "retention", "old records or personal parts were erased, or could not be"
    STARTED = "started", "the process started"
    STOPPED = "stopped", "the process stopped"


class RecordEvent(Code):
    """Field `event` of a record in the log of decisions. Values are stored: never change one."""

    BEGIN = "begin", "an enrollment began to use the camera"
    END = "end", "an enrollment ended its use of the camera"
    NOT_A_DUPLICATE = "not-a-duplicate", "an operator stated that two people are not the same"
    CAMERA_LOST = "camera-lost", "the camera gives no frames"
    CAMERA_BACK = "camera-back", "the camera gives frames again"
    UNREADABLE = "unreadable", "the gallery cannot be read, all people are refused"
    READABLE = "readable", "the gallery can be read again"
    OLDER = "older", "a gallery file of an older revision was put in place"


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


class ClockReason(Code):
    """Reason of a `clock` record without doubt. Values are stored: never change one."""

    BELIEVED = "believed", "the clock is trusted again"
    CLOCK_TRUSTED = "clock-trusted", "an operator confirmed the clock at the door process"
