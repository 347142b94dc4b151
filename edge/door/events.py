"""Codes of the door: events, alarms, causes and refusals. Stored in records: never change one."""

from __future__ import annotations

from enum import Enum


class _Code(str, Enum):
    """Code that formats as its value."""

    def __str__(self) -> str:
        return str.__str__(self)


class DoorEventCode(_Code):
    """Kind of an event in the door's record."""

    STARTED = "started"
    STOPPED = "stopped"
    RELOADED = "reloaded"
    RELOAD_REFUSED = "reload-refused"
    ACCOUNT_IGNORED = "account-ignored"
    GRANTED = "granted"
    REFUSED = "refused"
    UNLOCKED = "unlocked"
    RELOCKED = "relocked"
    FAILED = "failed"
    OPERATOR_COMMAND = "operator-command"
    UNLOCK = "unlock"
    HOLD = "hold"
    LOCKDOWN = "lockdown"
    RELEASE = "release"
    RESET_FIRE = "reset-fire"
    RESET_TAMPER = "reset-tamper"
    CLOCK_TRUSTED = "clock-trusted"
    SCHEDULE = "schedule"
    FIRE = "fire"
    TAMPER = "tamper"
    ALARM = "alarm"
    ALARM_ENDED = "alarm-ended"
    CONTACT_ACTIVE = "contact-active"
    CONTACT_INACTIVE = "contact-inactive"
    REX_ACTIVE = "rex-active"
    REX_INACTIVE = "rex-inactive"
    FIRE_ACTIVE = "fire-active"
    FIRE_INACTIVE = "fire-inactive"
    TAMPER_ACTIVE = "tamper-active"
    TAMPER_INACTIVE = "tamper-inactive"
    GAP = "gap"
    LATCHED = "latched"

    @property
    def sentence(self) -> str:
        """Sentence for people."""
        return _EVENTS[self]


class DoorAlarm(_Code):
    """Alarm of the door; an active alarm energises the alarm relay."""

    HELD_OPEN = "held-open"
    FORCED_OPEN = "forced-open"
    MAX_UNLOCK_EXCEEDED = "max-unlock-exceeded"
    REX_STUCK = "rex-stuck"
    TAMPER = "tamper"

    @property
    def sentence(self) -> str:
        """Sentence for people."""
        return _ALARMS[self]


class DoorRefusal(_Code):
    """Why the door refused a grant or an operator's command."""

    STALE = "stale"
    REPLAYED = "replayed"
    TAMPER = "tamper"
    LOCKDOWN = "lockdown"
    SCHEDULE = "schedule"
    MAX_UNLOCK_EXCEEDED = "max-unlock-exceeded"
    NOT_RECORDED = "not-recorded"
    FIRE_INPUT_ACTIVE = "fire-input-active"
    CASE_OPEN = "case-open"
    SUPPRESSED = "suppressed"

    @property
    def sentence(self) -> str:
        """Sentence for people."""
        return _REFUSALS[self]


class LockReason(_Code):
    """Why the door is locked or unlocked; the first that applies, in this order."""

    FIRE = "fire"
    REX = "rex"
    LOCKDOWN = "lockdown"
    HOLD = "hold"
    OPERATOR = "operator"
    SCHEDULE_OPEN = "schedule-open"
    SCHEDULE_LOCKED = "schedule-locked"
    PULSE = "pulse"
    NORMAL = "normal"

    @property
    def sentence(self) -> str:
        """Sentence for people."""
        return _REASONS[self]


class EventCause(_Code):
    """Cause of an event that is no alarm, refusal or lock reason."""

    INPUT = "input"
    GRANT = "grant"
    OPERATOR = "operator"
    CONTACT = "contact"
    CASE_OPENED = "case-opened"
    PULSE_ENDED = "pulse-ended"
    OPERATOR_ENDED = "operator-ended"
    HOLD_ENDED = "hold-ended"
    REX_ENDED = "rex-ended"
    FIRE_ENDED = "fire-ended"
    SCHEDULE_ENDED = "schedule-ended"
    TAMPER = "tamper"
    RELAY = "relay"
    LOCKED = "locked"
    CONFIGURATION = "configuration"
    UNKNOWN_ACCOUNT = "unknown-account"
    UNCLEAN_STOP = "unclean-stop"
    UNREADABLE_RECORD = "unreadable-record"
    NOT_RECORDED = "not-recorded"
    RETRY = "retry"

    @property
    def sentence(self) -> str:
        """Sentence for people."""
        return _CAUSES[self]


_EVENTS = {
    DoorEventCode.STARTED: "the door process started, locked",
    DoorEventCode.STOPPED: "the door process stopped, locked",
    DoorEventCode.RELOADED: "a new configuration applies",
    DoorEventCode.RELOAD_REFUSED: "a new configuration was refused; the previous one applies",
    DoorEventCode.ACCOUNT_IGNORED: "the configuration names an account that does not exist",
    DoorEventCode.GRANTED: "a grant was accepted and recorded; the door unlocks",
    DoorEventCode.REFUSED: "a grant or command was refused",
    DoorEventCode.UNLOCKED: "the lock was released",
    DoorEventCode.RELOCKED: "the lock was engaged",
    DoorEventCode.FAILED: "the relay failed after a grant was accepted",
    DoorEventCode.OPERATOR_COMMAND: "an operator sent a command",
    DoorEventCode.UNLOCK: "an operator unlocked the door for one pulse",
    DoorEventCode.HOLD: "an operator holds the door unlocked",
    DoorEventCode.LOCKDOWN: "an operator started a lockdown",
    DoorEventCode.RELEASE: "an operator ended hold and lockdown",
    DoorEventCode.RESET_FIRE: "an operator reset the fire state",
    DoorEventCode.RESET_TAMPER: "an operator reset the tamper alarm",
    DoorEventCode.CLOCK_TRUSTED: "an operator confirmed the clock",
    DoorEventCode.SCHEDULE: "the schedule changed the mode of the door",
    DoorEventCode.FIRE: "a fire was detected; the door stays unlocked until it is reset",
    DoorEventCode.TAMPER: "the terminal's case was opened",
    DoorEventCode.ALARM: "an alarm started",
    DoorEventCode.ALARM_ENDED: "an alarm ended",
    DoorEventCode.CONTACT_ACTIVE: "the door contact reports open",
    DoorEventCode.CONTACT_INACTIVE: "the door contact reports closed",
    DoorEventCode.REX_ACTIVE: "the exit button is pressed",
    DoorEventCode.REX_INACTIVE: "the exit button is released",
    DoorEventCode.FIRE_ACTIVE: "the fire input is active",
    DoorEventCode.FIRE_INACTIVE: "the fire input is inactive",
    DoorEventCode.TAMPER_ACTIVE: "the tamper input is active",
    DoorEventCode.TAMPER_INACTIVE: "the tamper input is inactive",
    DoorEventCode.GAP: "events before this one are missing",
    DoorEventCode.LATCHED: "the latched states were recorded again",
}
_ALARMS = {
    DoorAlarm.HELD_OPEN: "the door stands open longer than `door.held_open_s`",
    DoorAlarm.FORCED_OPEN: "the door was opened while it was locked",
    DoorAlarm.MAX_UNLOCK_EXCEEDED: "grants kept the door unlocked longer than allowed",
    DoorAlarm.REX_STUCK: "the exit button is pressed longer than `door.held_open_s`",
    DoorAlarm.TAMPER: "the terminal's case was opened; reset it with edge-door reset-tamper",
}
_REFUSALS = {
    DoorRefusal.STALE: "the frame of the grant is older than 1 s",
    DoorRefusal.REPLAYED: "the grant was sent before",
    DoorRefusal.TAMPER: "the tamper alarm is active",
    DoorRefusal.LOCKDOWN: "the door is in lockdown; release it first",
    DoorRefusal.SCHEDULE: "the schedule keeps the door locked",
    DoorRefusal.MAX_UNLOCK_EXCEEDED: "grants kept the door unlocked too long; it must lock first",
    DoorRefusal.NOT_RECORDED: "the event could not be recorded; is the disk full?",
    DoorRefusal.FIRE_INPUT_ACTIVE: "the fire input is still active",
    DoorRefusal.CASE_OPEN: "the case is still open",
    DoorRefusal.SUPPRESSED: "more refusals than are recorded in one second; only counted",
}
_REASONS = {
    LockReason.FIRE: "fire, until it is reset",
    LockReason.REX: "exit button",
    LockReason.LOCKDOWN: "lockdown by an operator, until it is released",
    LockReason.HOLD: "held open by an operator, until it is released",
    LockReason.OPERATOR: "unlocked once by an operator",
    LockReason.SCHEDULE_OPEN: "open by schedule",
    LockReason.SCHEDULE_LOCKED: "locked by schedule",
    LockReason.PULSE: "access was granted",
    LockReason.NORMAL: "no reason to unlock",
}
_CAUSES = {
    EventCause.INPUT: "an input changed",
    EventCause.GRANT: "access was granted",
    EventCause.OPERATOR: "a command of an operator",
    EventCause.CONTACT: "the door contact changed, see `door.relock`",
    EventCause.CASE_OPENED: "the case was opened",
    EventCause.PULSE_ENDED: "the time of a grant ended",
    EventCause.OPERATOR_ENDED: "the time of an operator's unlock ended",
    EventCause.HOLD_ENDED: "an operator ended the hold",
    EventCause.REX_ENDED: "the time of the exit button ended",
    EventCause.FIRE_ENDED: "the fire state was reset",
    EventCause.SCHEDULE_ENDED: "the schedule's open hours ended",
    EventCause.TAMPER: "the case was opened",
    EventCause.RELAY: "the relay could not be switched",
    EventCause.LOCKED: "the process ended with the door locked",
    EventCause.CONFIGURATION: "the configuration was read again",
    EventCause.UNKNOWN_ACCOUNT: "the account does not exist on this machine",
    EventCause.UNCLEAN_STOP: "the previous run did not stop cleanly",
    EventCause.UNREADABLE_RECORD: "the previous state could not be read from the record",
    EventCause.NOT_RECORDED: "events could not be recorded; the counts are in `dropped`",
    EventCause.RETRY: "an earlier record of this state failed",
}
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
