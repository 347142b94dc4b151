"""Lockout of readers and people after wrong credentials, with its events."""

from __future__ import annotations

import math
from dataclasses import replace

from edge.access.lockout import Lockout, LockoutRule
from edge.door.door import Door
from edge.door.events import CredentialRefusal, DoorEventCode, EventCause
from edge.names import name_key
from edge.values import DoorEvent

_READER, _PERSON = "reader ", "person "


class CredentialLockout:
    """Counts wrong cards and PINs and refuses further ones. Faces are not subject to it.

    Failures of a reader are forgotten after the window, those of a person after a right PIN only:
    slow guesses lock too.
    """

    def __init__(self, door: Door, rule: LockoutRule) -> None:
        self._door = door
        self._readers = Lockout(rule)
        self._people = Lockout(replace(rule, window_s=math.inf))
        self._locked: dict[str, str] = {}  # name by key

    def find_refusal(self, reader: str, person: str | None = None) -> CredentialRefusal | None:
        """Return why no credential is accepted from a reader or a person now."""
        now = self._door.clock()
        if self._readers.locked_s(_READER + reader, now):
            return CredentialRefusal.READER_LOCKED
        if person is not None and self._people.locked_s(_PERSON + name_key(person), now):
            return CredentialRefusal.PERSON_LOCKED
        return None

    def note_failure(self, reader: str, person: str | None) -> None:
        """Count a wrong credential at a reader, and of a person whose card waits."""
        self._count(_READER + reader, reader)
        if person is not None:
            self._count(_PERSON + name_key(person), person)

    def note_success(self, person: str) -> None:
        """Forget the failures of a person after a right PIN."""
        self._people.note_success(_PERSON + name_key(person))

    def reset(self, name: str | None) -> int:
        """End the lockouts of a reader or person, None: all; return how many there were."""
        keys = [
            key
            for key in list(self._locked)
            if name is None or key in (_READER + name, _PERSON + name_key(name))
        ]
        if name is not None:
            self._people.note_success(_PERSON + name_key(name))
        for key in keys:
            self._find(key).note_success(key)
            self._end(key, EventCause.OPERATOR)
        return len(keys)

    def update(self) -> None:
        """Record lockouts that are over."""
        now = self._door.clock()
        for key in [key for key in self._locked if not self._find(key).locked_s(key, now)]:
            self._end(key, EventCause.TIME_PASSED)

    def status(self) -> dict[str, float]:
        """Return the seconds that each lockout still lasts."""
        now = self._door.clock()
        return {key: round(self._find(key).locked_s(key, now), 1) for key in self._locked}

    def _count(self, key: str, name: str) -> None:
        if self._find(key).note_failure(key, self._door.clock()):
            self._locked[key] = name
            self._append(DoorEventCode.LOCKOUT, EventCause.WRONG_CREDENTIALS, key)

    def _find(self, key: str) -> Lockout:
        """Return the lockout that counts a key."""
        return self._people if key.startswith(_PERSON) else self._readers

    def _end(self, key: str, cause: EventCause) -> None:
        self._append(DoorEventCode.LOCKOUT_ENDED, cause, key)
        del self._locked[key]

    def _append(self, event: DoorEventCode, cause: EventCause, key: str) -> None:
        name = self._locked[key]
        is_person = key.startswith(_PERSON)
        self._door.log.append(
            DoorEvent(event, cause, self._door.clock(), subject=name if is_person else None),
            None if is_person else {"reader": name},
        )
