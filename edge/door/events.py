"""Codes of the door: events, alarms, refusals, states and causes. Stored in audit records."""

from __future__ import annotations

from edge.codes import Code


class DoorEventCode(Code):
    """Kind of an event in the door's audit log."""

    STARTED = "started", "the door process started, locked"
    STOPPED = "stopped", "the door process stopped, locked"
    RELOADED = "reloaded", "a new configuration applies"
    RELOAD_REFUSED = "reload-refused", "a new configuration was refused; the previous one applies"
    ACCOUNT_IGNORED = "account-ignored", "the configuration names an account that does not exist"
    GRANTED = "granted", "a grant was accepted and recorded; the door unlocks"
    REFUSED = "refused", "a grant or command was refused"
    UNLOCKED = "unlocked", "the lock was released"
    RELOCKED = "relocked", "the lock was engaged"
    FAILED = "failed", "the relay failed after a grant was accepted"
    OPERATOR_COMMAND = "operator-command", "an operator sent a command"
    UNLOCK = "unlock", "an operator unlocked the door for one pulse"
    HOLD = "hold", "an operator holds the door unlocked"
    LOCKDOWN = "lockdown", "an operator started a lockdown"
    RELEASE = "release", "an operator ended hold and lockdown"
    RESET_FIRE = "reset-fire", "an operator reset the fire state"
    RESET_TAMPER = "reset-tamper", "an operator reset the tamper alarm"
    RESET_DURESS = "reset-duress", "an operator ended the silent alarm"
    CLOCK_TRUSTED = "clock-trusted", "an operator confirmed the clock"
    SCHEDULE = "schedule", "the schedule changed the mode of the door"
    FIRE = "fire", "a fire was detected; the door stays unlocked until it is reset"
    TAMPER = "tamper", "the terminal's case was opened"
    ALARM = "alarm", "an alarm started"
    ALARM_ENDED = "alarm-ended", "an alarm ended"
    CONTACT_ACTIVE = "contact-active", "the door contact reports open"
    CONTACT_INACTIVE = "contact-inactive", "the door contact reports closed"
    REX_ACTIVE = "rex-active", "the exit button is pressed"
    REX_INACTIVE = "rex-inactive", "the exit button is released"
    FIRE_ACTIVE = "fire-active", "the fire input is active"
    FIRE_INACTIVE = "fire-inactive", "the fire input is inactive"
    TAMPER_ACTIVE = "tamper-active", "the tamper input is active"
    TAMPER_INACTIVE = "tamper-inactive", "the tamper input is inactive"
    MANTRAP_ACTIVE = "mantrap-active", "the other door of a mantrap is unlocked or open"
    MANTRAP_INACTIVE = "mantrap-inactive", "the other door of a mantrap is locked and closed"
    PASSAGE_ACTIVE = "passage-active", "the passage sensor sees a person"
    PASSAGE_INACTIVE = "passage-inactive", "the passage sensor sees no person"
    WAITING = "waiting", "a request needs another factor or a second person"
    CREDENTIAL_REFUSED = "card-pin-refused", "a card or PIN was not accepted"
    DURESS = "duress", "a duress PIN was entered; a silent alarm started"
    PASSAGE = "passage", "a person passed after a grant"
    TAILGATING = "tailgating", "the passage sensor reported a person without a grant"
    ZONES_INVALID = "zones-invalid", "the state of the zones is unreadable; entries are refused"
    ZONES_NOT_SAVED = "zones-not-saved", "the state of the zones could not be written"
    PEOPLE_CHANGED = "people-changed", "the file of people and credentials changed"
    PEOPLE_INVALID = (
        "people-invalid",
        "the file of people and credentials cannot be used; all people are refused",
    )
    CARD_LEARNED = "card-learned", "a card was presented for a person; an operator stores it"
    LOCKOUT = "lockout", "too many wrong credentials; cards and PINs are refused for a time"
    LOCKOUT_ENDED = "lockout-ended", "a lockout ended"
    LOCKOUTS_INVALID = (
        "lockouts-invalid",
        "the state of the lockouts is unreadable; all readers are locked out once",
    )
    LOCKOUTS_NOT_SAVED = "lockouts-not-saved", "the state of the lockouts could not be written"
    READER_FOUND = "reader-found", "a reader works"
    READER_LOST = "reader-lost", "a reader does not work"
    READER_FLOODING = "reader-flooding", "a reader sends too much; its input is dropped"
    READER_CONDITION = "reader-condition", "tamper or power state of a reader changed"
    PANEL_ASKED = "panel-asked", "a card was reported to the access control panel, which decides"
    PANEL_ANSWERED = "panel-answered", "the access control panel decided, or did not answer"
    PANEL_TEXT = "panel-text", "the access control panel sent a text for the person at the door"
    PANEL_FOUND = "panel-found", "the access control panel is connected by a secure channel"
    PANEL_LOST = "panel-lost", "the access control panel is not connected; people are refused"
    GAP = "gap", "events before this one are missing"
    LATCHED = "latched", "the latched states were recorded again"


class DoorAlarm(Code):
    """Alarm of the door; an active alarm energises the alarm relay."""

    HELD_OPEN = "held-open", "the door is open longer than `door.held_open_s`"
    FORCED_OPEN = "forced-open", "the door was opened while it was locked"
    MAX_UNLOCK_EXCEEDED = "max-unlock-exceeded", "grants kept the door unlocked longer than allowed"
    REX_STUCK = "rex-stuck", "the exit button is pressed longer than `door.held_open_s`"
    TAMPER = "tamper", "the terminal's case was opened; reset it with edge-door reset-tamper"
    DURESS = "duress", "a duress PIN was entered; reset it with edge-door reset-duress"


class DoorRefusal(Code):
    """Why the door refused a grant or an operator's command."""

    STALE = "stale", "the frame of the grant is older than 1 s"
    REPLAYED = "replayed", "the grant was sent before"
    TAMPER = "tamper", "the tamper alarm is active"
    LOCKDOWN = "lockdown", "the door is in lockdown; release it first"
    SCHEDULE = "schedule", "the schedule keeps the door locked"
    MAX_UNLOCK_EXCEEDED = (
        "max-unlock-exceeded",
        "grants kept the door unlocked too long; it must lock first",
    )
    NOT_RECORDED = "not-recorded", "the event could not be recorded; is the disk full?"
    ZONES_BUSY = "zones-busy", "another door of this terminal uses the zones; try again"
    CLAIM_ENDED = "claim-ended", "the card or PIN came too long before the face; present it again"
    OTHER_DOOR = (
        "other-door",
        "the lane leads through another door; check `camera.lane`, `door.name` and `door.socket`",
    )
    FIRE_INPUT_ACTIVE = "fire-input-active", "the fire input is still active"
    CASE_OPEN = "case-open", "the case is still open"
    PEOPLE_UNREADABLE = (
        "people-unreadable",
        "the file of people and credentials cannot be used; ask an operator",
    )
    NO_PANEL_CARD = (
        "no-panel-card",
        "the person has no card at the access control panel; an operator can set it",
    )
    PANEL_CARD_INVALID = (
        "panel-card-invalid",
        "the person's card at the access control panel cannot be used; set it again",
    )
    PANEL_OFFLINE = (
        "panel-offline",
        "the access control panel takes no card now; wait, or check its line",
    )
    PANEL_BUSY = "panel-busy", "the access control panel decides about another person; wait"
    SUPPRESSED = "suppressed", "more refusals than are recorded in one second; only counted"


class CredentialRefusal(Code):
    """Why a card or PIN was not accepted."""

    UNKNOWN_CARD = "unknown-card", "the card belongs to no person of this door"
    WRONG_PIN = "wrong-pin", "the PIN is wrong"
    PIN_NOT_CHECKED = "pin-not-checked", "the PIN could not be checked in time; enter it again"
    READER_LOCKED = "reader-locked", "too many wrong credentials at this reader; wait"
    PERSON_LOCKED = "person-locked", "too many wrong PINs of this person; wait"
    CARD_IN_USE = "card-in-use", "the card to learn belongs to another person; present another one"
    MALFORMED = "malformed", "the read was no valid card and no valid PIN"


class LockReason(Code):
    """Why the door is locked or unlocked; the first that applies, in this order."""

    FIRE = "fire", "fire, until it is reset"
    REX = "rex", "exit button"
    LOCKDOWN = "lockdown", "lockdown by an operator, until it is released"
    HOLD = "hold", "held open by an operator, until it is released"
    OPERATOR = "operator", "unlocked once by an operator"
    SCHEDULE_OPEN = "schedule-open", "open by schedule"
    SCHEDULE_LOCKED = "schedule-locked", "locked by schedule"
    PULSE = "pulse", "access was granted"
    NORMAL = "normal", "no reason to unlock"


class EventCause(Code):
    """Cause of an event that is no alarm, refusal or lock reason."""

    INPUT = "input", "an input changed"
    GRANT = "grant", "access was granted"
    OPERATOR = "operator", "a command of an operator"
    CONTACT = "contact", "the door contact changed, see `door.relock`"
    CASE_OPENED = "case-opened", "the case was opened"
    PULSE_ENDED = "pulse-ended", "the time of a grant ended"
    OPERATOR_ENDED = "operator-ended", "the time of an operator's unlock ended"
    HOLD_ENDED = "hold-ended", "an operator ended the hold"
    REX_ENDED = "rex-ended", "the time of the exit button ended"
    FIRE_ENDED = "fire-ended", "the fire state was reset"
    SCHEDULE_ENDED = "schedule-ended", "the schedule's open hours ended"
    TAMPER = "tamper", "the case was opened"
    RELAY = "relay", "the relay could not be switched"
    LOCKED = "locked", "the process ended with the door locked"
    CONFIGURATION = "configuration", "the configuration was read again"
    UNKNOWN_ACCOUNT = "unknown-account", "the account does not exist on this machine"
    MISSING_FACTOR = "missing-factor", "another factor of the same person is missing"
    MISSING_PERSON = "missing-person", "a second person is missing"
    WRONG_CREDENTIALS = "wrong-credentials", "too many wrong cards or PINs"
    TIME_PASSED = "time-passed", "the lockout time ended"
    PIN = "pin", "a PIN was entered"
    POWER_FAILED = "power-failed", "the supply failed"
    SENSOR = "sensor", "the passage sensor reported a person"
    RESTORED = "restored", "tamper and power failure ended"
    READER = "reader", "a reader changed its state, or reported a card"
    PANEL = "panel", "the access control panel"
    FILE_CHANGED = "file-changed", "a file changed"
    DISK = "disk", "a file could not be written, or not in time"
    UNCLEAN_STOP = "unclean-stop", "the previous run did not stop cleanly"
    UNREADABLE_RECORD = "unreadable-record", "the previous state could not be read from the record"
    NOT_RECORDED = "not-recorded", "events could not be recorded; the counts are in `dropped`"
    RETRY = "retry", "an earlier record of this state failed"


_ENDED = {
    LockReason.FIRE: EventCause.FIRE_ENDED,
    LockReason.REX: EventCause.REX_ENDED,
    LockReason.HOLD: EventCause.HOLD_ENDED,
    LockReason.OPERATOR: EventCause.OPERATOR_ENDED,
    LockReason.SCHEDULE_OPEN: EventCause.SCHEDULE_ENDED,
    LockReason.PULSE: EventCause.PULSE_ENDED,
}


def ended_cause(reason: LockReason) -> EventCause:
    """Return the cause of relocking when a reason to unlock is over."""
    return _ENDED[reason]


def describe_refusal(text: str) -> str:
    """Return the sentence of a refusal code; other text as it is."""
    try:
        return DoorRefusal(text).sentence
    except ValueError:
        return text
