"""Lockout of readers and people after wrong credentials, with its events, also over a restart."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from edge.access.lockout import Lockout, LockoutCount, LockoutRule
from edge.door.credential_hashes import CredentialHasher
from edge.door.credentials import Credentials
from edge.door.door import Door
from edge.door.events import CredentialRefusal, DoorEventCode, EventCause
from edge.door.lockout_file import LockoutDocument, LockoutFile, build_document
from edge.door.state_file import PendingSave
from edge.names import name_key
from edge.values import DoorEvent

log = logging.getLogger(__name__)

_READER, _PERSON = "reader ", "person "


class CredentialLockout:
    """Counts wrong cards and PINs and refuses further ones. Faces are not subject to it.

    Failures of a reader are forgotten after the window, those of a person after a right PIN only:
    slow guesses lock too. Each change is saved by a thread.
    """

    def __init__(self, door: Door, rule: LockoutRule, path: Path) -> None:
        self._door = door
        self._readers = Lockout(rule)
        self._people = Lockout(replace(rule, window_s=math.inf))
        self._locked: dict[str, str] = {}  # name by key
        self._file = LockoutFile(path, door.clock)
        self._hasher: CredentialHasher | None = None  # None: people could not be read yet
        self._unknown: dict[str, LockoutCount] = {}  # of people not read yet, by digest
        self._saved_at = -math.inf  # when the previous run saved the counts

    # ---------------------------------------------------------------- previous run

    def restore(self, readers: Iterable[str], credentials: Credentials) -> None:
        """Take the counts of the previous run; lock all readers once if they are unreadable."""
        try:
            document = self._file.load()
        except ValueError as error:
            self._lock_all(readers, str(error))
            document = None
        if document is not None:
            self._take(document)
        self.update_people(credentials)

    def update_people(self, credentials: Credentials) -> None:
        """Assign saved counts to people, after these were read or have changed.

        Counts of people who do not exist are forgotten, but not while their file is damaged.
        """
        if credentials.damage:
            return
        self._hasher = credentials.hasher
        if self._unknown:
            names = credentials.names_by_digest()
            for digest, count in self._unknown.items():
                if (name := names.get(digest)) is not None:
                    self._restore(_PERSON + name_key(name), name, count)
            self._unknown.clear()
        if len(self._people):
            self.save()

    def _take(self, document: LockoutDocument) -> None:
        self._saved_at = at = document.saved_at(self._door.wall, self._door.clock())
        for name, saved in document.readers.items():
            self._restore(_READER + name, name, saved.count(at))
        self._unknown = {digest: saved.count(at) for digest, saved in document.people.items()}

    def _restore(self, key: str, name: str, count: LockoutCount) -> None:
        """Take a count; `update` records the end of a lock that ended in between."""
        self._find(key).restore(key, count)
        if count.locked_until > self._saved_at:
            self._locked[key] = name

    def _lock_all(self, readers: Iterable[str], error: str) -> None:
        log.error("%s; all readers are locked once; end it with: edge-door reset-lockout", error)
        self._door.append(DoorEventCode.LOCKOUTS_INVALID, EventCause.UNREADABLE_RECORD, note=error)
        for name in readers:
            self._readers.lock(_READER + name, self._door.clock())
            self._begin(_READER + name, name, EventCause.UNREADABLE_RECORD)
        self.save()

    # ---------------------------------------------------------------- credentials

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
        self.save()

    def note_success(self, person: str) -> None:
        """Forget the failures of a person after a right PIN."""
        if self._people.note_success(_PERSON + name_key(person)):
            self.save()

    # ---------------------------------------------------------------- operators

    def reset(self, name: str | None) -> PendingSave:
        """End the lockouts of a reader or person, None: all; return the save to wait for."""
        keys = [
            key
            for key in list(self._locked)
            if name is None or key in (_READER + name, _PERSON + name_key(name))
        ]
        if name is None:
            self._unknown.clear()
        else:
            self._people.note_success(_PERSON + name_key(name))
        for key in keys:
            self._find(key).note_success(key)
            self._end(key, EventCause.OPERATOR)
        return self.save()

    def erase(self, person: str) -> None:
        """Forget a person who was removed."""
        key = _PERSON + name_key(person)
        if key in self._locked:
            self._end(key, EventCause.OPERATOR)
        self.note_success(person)

    def update(self) -> None:
        """Record lockouts that are over, and repeat a save that failed."""
        now = self._door.clock()
        over = [key for key in self._locked if not self._find(key).locked_s(key, now)]
        for key in over:
            self._end(key, EventCause.TIME_PASSED)
        if over:
            self.save()
        if error := self._file.run_maintenance():
            log.error("%s", error)
            self._door.append(DoorEventCode.LOCKOUTS_NOT_SAVED, EventCause.DISK, note=error)

    def status(self) -> dict[str, float]:
        """Return the seconds that each lockout still lasts."""
        now = self._door.clock()
        return {key: round(self._find(key).locked_s(key, now), 1) for key in self._locked}

    # ---------------------------------------------------------------- parts

    def save(self) -> PendingSave:
        """Save the counts; nothing waits for it."""
        now = self._door.clock()
        people = dict(self._unknown)
        if self._hasher is not None:
            counts = _without_prefix(self._people.counts(now), _PERSON)
            people |= {self._hasher.hash_name(name): count for name, count in counts.items()}
        readers = _without_prefix(self._readers.counts(now), _READER)
        return self._file.submit(build_document(readers, people, self._door.wall, now))

    def close(self) -> None:
        """Save the times that are left: after a restart an untrusted clock starts them again."""
        if self._locked:
            self.save()
        self._file.close()

    def _count(self, key: str, name: str) -> None:
        if self._find(key).note_failure(key, self._door.clock()):
            self._begin(key, name, EventCause.WRONG_CREDENTIALS)

    def _find(self, key: str) -> Lockout:
        """Return the lockout that counts a key."""
        return self._people if key.startswith(_PERSON) else self._readers

    def _begin(self, key: str, name: str, cause: EventCause) -> None:
        self._locked[key] = name
        self._append(DoorEventCode.LOCKOUT, cause, key)

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


def _without_prefix(counts: Mapping[str, LockoutCount], prefix: str) -> dict[str, LockoutCount]:
    return {key.removeprefix(prefix): count for key, count in counts.items()}
