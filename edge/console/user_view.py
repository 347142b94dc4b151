"""Events and door status that a user may read: silent alarms and the log of the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.config import CONSOLE_LOG
from edge.console.records.events import Event
from edge.console.roles import Permission, Principal
from edge.door.events import DoorAlarm, DoorEventCode

_SILENT = frozenset({DoorEventCode.DURESS.value, DoorEventCode.RESET_DURESS.value})
_LISTS = ("latches", "alarms")  # fields that name active alarms


class UserView:
    """View of one user."""

    def __init__(self, principal: Principal) -> None:
        may_control = principal.has(Permission.CONTROL_DOOR)
        self._has_audit = principal.has(Permission.READ_AUDIT)
        self._has_silent = may_control or self._has_audit

    def shows(self, log: str, record: Mapping[str, Any]) -> bool:
        """Return True if the user may know that this event exists."""
        if log == CONSOLE_LOG and not self._has_audit:
            return False
        return self._has_silent or _SILENT.isdisjoint(
            str(record.get(field)) for field in ("event", "reason")
        )

    def record(self, event: Event) -> Mapping[str, Any]:
        """Return the fields of an event that the user may read."""
        return event.record if self._has_silent else without_silent(event.record)

    def status(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the status of a door that the user may read."""
        return fields if self._has_silent else without_silent(fields)


def without_silent(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields without the silent alarm."""
    return {
        name: [each for each in value if each != DoorAlarm.DURESS]
        if name in _LISTS and isinstance(value, list)
        else value
        for name, value in fields.items()
    }
