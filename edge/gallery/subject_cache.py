"""Subjects of a gallery in memory, kept equal to the store by its changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.gallery.reader import Changes, Subject
from edge.gallery.search import Index
from edge.names import name_key
from edge.subject import SubjectRecord

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class SubjectCache:
    """Index of all templates, with names and attributes by subject number."""

    index: Index = field(default_factory=Index)
    revision: int = 0  # of the last change that was applied
    row_versions: dict[int, bytes] = field(default_factory=dict)
    _subjects: dict[int, tuple[str, SubjectRecord]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)  # by key of the name

    def __len__(self) -> int:
        return len(self._subjects)

    def number(self, name: str) -> int | None:
        """Return the number of a subject, None if the name is not enrolled."""
        return self._numbers.get(name_key(name))

    def find_record(self, name: str) -> SubjectRecord | None:
        """Return the attributes of a subject, None if the name is not enrolled."""
        number = self.number(name)
        return None if number is None else self._subjects[number][1]

    def find(self, name: str) -> Subject | None:
        """Return a subject with a copy of its templates, None if the name is not enrolled."""
        number = self.number(name)
        if number is None:
            return None
        stored, record = self._subjects[number]
        return Subject(stored, record, self.index.templates_of(number))

    def apply(self, changes: Changes) -> None:
        """Apply changes of the store."""
        self.update(changes.subjects)
        for number in changes.subjects:
            self.row_versions.pop(number, None)
        self.row_versions.update(changes.row_versions)
        self.revision = changes.revision

    def update(self, subjects: Mapping[int, Subject | None]) -> None:
        """Replace subjects by number, None for an erased one.

        Damaged templates are removed from the index and logged; the other subjects stay usable.
        """
        entries = {
            number: None if subject is None else (subject.name, subject.templates)
            for number, subject in subjects.items()
        }
        for error in self.index.update(entries):
            log.error("%s", error)
        for number in subjects:
            if (old := self._subjects.pop(number, None)) is not None:
                self._numbers.pop(name_key(old[0]), None)
        for number, subject in subjects.items():
            if subject is not None:
                self._subjects[number] = subject.name, subject.record
                self._numbers[name_key(subject.name)] = number
