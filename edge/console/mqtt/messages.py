"""Messages about events, doors and health, as the broker may read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from edge.audit.formatting import event_name, unix_time
from edge.audit.kinds import RecordEvent, RecordKind
from edge.config import CONSOLE_LOG
from edge.config.mqtt import MqttConfig
from edge.console.records.events import Event
from edge.console.records.sentences import describe, in_english
from edge.console.roles import Permission, Principal
from edge.console.user_view import UserView
from edge.door.events import DoorEventCode, LockReason
from edge.system.text import format_count
from edge.values import NOT_RECORDED, Verdict

Message = dict[str, Any]

# Records of the recogniser that are events; the others explain or repeat them.
_KINDS = frozenset(
    {
        RecordKind.CAMERA,
        RecordKind.CLOCK,
        RecordKind.DECISION,
        RecordKind.GALLERY,
        RecordKind.GAP,
        RecordKind.STARTED,
        RecordKind.STOPPED,
    }
)
_FIELDS = ("lane", "reader", "missing", "violations", "grant_id")
_GRANT_EVENTS = frozenset(
    {
        DoorEventCode.GRANTED,
        DoorEventCode.UNLOCKED,
        DoorEventCode.REFUSED,
        DoorEventCode.WAITING,
        DoorEventCode.FAILED,
    }
)
_CARD_OR_PIN = "card-or-pin"
_METHODS: Mapping[str, str] = {
    DoorEventCode.CREDENTIAL_REFUSED: _CARD_OR_PIN,
    DoorEventCode.LOCKOUT: _CARD_OR_PIN,
    DoorEventCode.DURESS: _CARD_OR_PIN,
    DoorEventCode.REX_ACTIVE: "exit-button",
    DoorEventCode.FIRE: "fire",
    DoorEventCode.FIRE_ACTIVE: "fire",
    DoorEventCode.SCHEDULE: "schedule",
    LockReason.REX: "exit-button",
    LockReason.SCHEDULE_OPEN: "schedule",
}
METHODS = tuple(sorted({*_METHODS.values(), "face", "operator"}))
DOOR_EVENT_TYPES = tuple(sorted({*map(str, DoorEventCode), RecordKind.GAP.value}))
DECISION_EVENT_TYPES = tuple(
    sorted({*map(str, Verdict), *map(str, RecordEvent), *map(str, _KINDS)} - {"decision"})
)


class MessageView:
    """What may leave the terminal."""

    def __init__(self, config: MqttConfig) -> None:
        permissions = {Permission.READ_EVENTS, Permission.READ_DOOR}
        if config.duress:
            permissions.add(Permission.CONTROL_DOOR)
        self._view = UserView(Principal("mqtt", frozenset(permissions)))
        self._has_names = config.names

    def event(self, event: Event) -> Message | None:
        """Return the message about an event; None for one that is not published."""
        record = event.record
        if event.log == CONSOLE_LOG or not self._view.shows(event.log, record):
            return None
        if "event" not in record and record.get("kind") not in _KINDS:
            return None
        return {
            "event_type": event_name(record),
            "id": str(event.id),
            "at": _iso_time(record),
            "is_clock_trusted": "latest_believed" not in record,
            "reason": _text(record, "reason"),
            "text": describe(record, in_english),
            "method": _method(record),
            **{name: record[name] for name in _FIELDS if name in record},
            **self._names(record),
        }

    def _names(self, record: Mapping[str, Any]) -> Message:
        if not self._has_names:
            return {}
        names = {"person": "subject", "operator": "operator", "user": "user"}
        return {name: record[field] for name, field in names.items() if _text(record, field)}

    def door_state(self, fields: Mapping[str, Any]) -> Message:
        """Return the state of a door from the status of its process."""
        shown = self._view.status(fields)
        inputs, alarms = shown["inputs"], list(shown["alarms"])
        contact = inputs.get("contact")
        return {
            "state": shown["state"],
            "reason": shown["reason"],
            "contact": None if contact is None else ("open" if contact else "closed"),
            "alarm": bool(alarms),
            "alarms": alarms,
            "tamper": "tamper" in alarms or bool(inputs.get("tamper")),
        }


def health(faults: Sequence[str], camera: str | None) -> Message:
    """Return the health of the terminal. `camera`: None if the recogniser does not answer."""
    problems = list(faults)
    if camera is None:
        problems.append("the recogniser does not answer")
    elif camera == "lost":
        problems.append("the camera gives no frames")
    text = format_count(len(problems), "problem") if problems else "ok"
    return {
        "status": "problem" if problems else "ok",
        "text": text,
        "problems": problems,
        "camera": camera,
    }


def encode(message: Message) -> bytes:
    """Return the payload of a message."""
    return json.dumps(message, ensure_ascii=False, allow_nan=False).encode()


def _method(record: Mapping[str, Any]) -> str | None:
    """Return how the person at the door, or an operator, acted."""
    event, reason = record.get("event"), record.get("reason")
    if "verdict" in record:
        return "face"
    if "operator" in record or event == DoorEventCode.OPERATOR_COMMAND:
        return "operator"
    if event in _GRANT_EVENTS and "grant_id" in record:
        return _CARD_OR_PIN if record.get("record_id") == NOT_RECORDED else "face"
    return _METHODS.get(str(event)) or _METHODS.get(str(reason))


def _text(record: Mapping[str, Any], field: str) -> str | None:
    value = record.get(field)
    return value if isinstance(value, str) else None


def _iso_time(record: Mapping[str, Any]) -> str:
    moment = datetime.fromtimestamp(max(0.0, unix_time(record)), timezone.utc)
    return moment.isoformat(timespec="milliseconds")
