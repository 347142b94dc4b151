"""Events in words, from the codes of their records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edge.access.reasons import Reason
from edge.access.rules.codes import RuleRefusal
from edge.audit.formatting import event_name
from edge.audit.kinds import ClockReason, GapReason, RecordEvent, RecordKind, RetentionReason
from edge.codes import Code
from edge.console.events import ConsoleEvent
from edge.door.commands import DOOR_COMMANDS, TARGET_COMMANDS
from edge.door.events import (
    CredentialRefusal,
    DoorAlarm,
    DoorEventCode,
    DoorRefusal,
    EventCause,
    LockReason,
)
from edge.door.readers.events import Malformation, ReaderState
from edge.door.readers.panel_events import PanelVerdict
from edge.system.wallclock import ClockDoubt
from edge.values import Verdict

_COMMANDS = {**DOOR_COMMANDS, **TARGET_COMMANDS}
# Enums of the field that names what happened.
_EVENTS: Mapping[str, tuple[type[Code], ...]] = {
    "verdict": (Verdict,),
    "event": (DoorEventCode, RecordEvent, ConsoleEvent),
    "kind": (RecordKind,),
}
_REFUSALS = (DoorRefusal, RuleRefusal, CredentialRefusal)
_CAUSES = (
    EventCause, LockReason, DoorAlarm, *_REFUSALS, ReaderState, PanelVerdict, Malformation,
    ClockDoubt,
)  # fmt: skip
# Enums of the reasons of an event or kind, most likely first: some codes are in several.
_REASONS: Mapping[str, tuple[type[Code], ...]] = {
    RecordKind.DECISION: (Reason,),
    RecordKind.GALLERY: (Reason,),
    RecordKind.GAP: (GapReason, EventCause),
    RecordKind.RETENTION: (RetentionReason, ClockDoubt),
    RecordKind.CLOCK: (ClockReason, ClockDoubt),
    DoorEventCode.STARTED: (LockReason,),
    DoorEventCode.UNLOCKED: (LockReason,),
    DoorEventCode.RELOCKED: (LockReason,),
    DoorEventCode.ALARM: (DoorAlarm,),
    DoorEventCode.ALARM_ENDED: (DoorAlarm,),
    DoorEventCode.REFUSED: (*_REFUSALS, Reason),
    DoorEventCode.CREDENTIAL_REFUSED: (CredentialRefusal, *_REFUSALS),
}
KNOWN_KINDS = tuple(
    sorted({code.value for enums in _EVENTS.values() for codes in enums for code in codes})
)


Translate = Callable[[str], str]


def in_english(sentence: str) -> str:
    """Return a sentence as it is."""
    return sentence


def describe(record: Mapping[str, Any], translate: Translate) -> str:
    """Return a sentence about an event: what happened and why."""
    name, reason = event_name(record), str(record.get("reason", ""))
    if record.get("kind") == RecordKind.DECISION:
        return _capital(translate(_find((Reason,), reason) or reason or name))
    field = next((field for field in _EVENTS if record.get(field)), "kind")
    what = translate(_find(_EVENTS[field], name) or name)
    why = reason_sentence(record, translate)
    return _capital(f"{what}: {why}" if why and why != what else what)


def reason_sentence(record: Mapping[str, Any], translate: Translate) -> str:
    """Return the sentence of a record's reason; the code itself if it is not known."""
    reason = record.get("reason")
    if not isinstance(reason, str) or not reason:
        return ""
    if record.get("event") == DoorEventCode.OPERATOR_COMMAND and reason in _COMMANDS:
        return translate(_COMMANDS[reason])
    found = (_find(codes, reason) for codes in _candidates(record))
    return translate(next(filter(None, found), reason))


def _candidates(record: Mapping[str, Any]) -> Iterator[tuple[type[Code], ...]]:
    for name in (record.get("event"), record.get("kind")):
        if isinstance(name, str) and name in _REASONS:
            yield _REASONS[name]
    yield _CAUSES
    yield (Reason, GapReason, RetentionReason, ClockReason)


def _find(codes: tuple[type[Code], ...], code: str) -> str:
    return next((known.sentence for enum in codes for known in enum if known == code), "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
