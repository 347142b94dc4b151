"""Enrolled people in memory, with which new faces are compared."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.gallery.search import Index
from edge.gallery.store import GalleryStore, Subject
from edge.names import name_key, normalize_name
from edge.subject import SubjectRecord

log = logging.getLogger(__name__)

Embeddings = NDArray[np.float32]  # (N,D) of unit norm

_EMPTY = np.zeros((0, 0), np.float32)


class EnrolledSubjects:
    """A store's subjects and their index; in a dry run, new subjects exist in memory only."""

    def __init__(self, store: GalleryStore | None, *, dry_run: bool) -> None:
        """Load the store's subjects; without a store every run is dry. Raises GalleryError."""
        self._store, self._dry_run = store, dry_run or store is None
        self._revision = 0
        self._known: dict[int, Subject] = {}
        self._numbers: dict[str, int] = {}
        self._next_dry = -1  # the store's numbers are positive
        self.index = Index()  # templates of all subjects
        self.refresh()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, name: str) -> Subject | None:
        """Return a subject, None if the name is not enrolled."""
        number = self._numbers.get(name_key(name))
        return None if number is None else self._known[number]

    def spelling(self, name: str) -> str:
        """Return a subject's stored name, or the normalised name if it is not enrolled."""
        known = self.find(name)
        return normalize_name(name) if known is None else known.name

    def refresh(self) -> None:
        """Apply changes made here or by another process; raises GalleryError."""
        if self._store is None:
            return
        changes = self._store.changes(self._revision)
        self._revision = changes.revision
        self._apply(changes.subjects)

    def enroll(
        self,
        name: str,
        embeddings: Embeddings,
        record: SubjectRecord,
        *,
        chips: Sequence[bytes | None] = (),
        replace: bool = False,
    ) -> None:
        """Store templates (N,D) and record of a subject, durable on return except in a dry run.

        Raises GalleryError.
        """
        if self._store is None or self._dry_run:
            self._enroll_in_memory(name, embeddings, record, replace=replace)
        elif len(embeddings):
            self._store.enroll(name, embeddings, record=record, chips=chips, replace=replace)
            self.refresh()
        else:
            self._store.update_attributes(name, record)
            self.refresh()

    def _enroll_in_memory(
        self, name: str, embeddings: Embeddings, record: SubjectRecord, *, replace: bool
    ) -> None:
        known = self.find(name)
        parts = [embeddings]
        if known is not None and len(known.templates) and not replace:
            parts = [known.templates, embeddings] if len(embeddings) else [known.templates]
        number = self._numbers.get(name_key(name), self._next_dry)
        self._apply({number: Subject(name, record, np.concatenate(parts))})
        self._next_dry -= 1

    def _apply(self, subjects: Mapping[int, Subject | None]) -> None:
        """Apply changed subjects by number, None for an erased one.

        Damaged templates are logged; the other subjects stay usable.
        """
        for number in subjects:
            if (old := self._known.pop(number, None)) is not None:
                self._numbers.pop(name_key(old.name), None)
        for number, known in subjects.items():
            if known is not None:
                self._known[number], self._numbers[name_key(known.name)] = known, number
        changed = {
            number: (known.name, known.templates) if known else ("", _EMPTY)
            for number, known in subjects.items()
        }
        for error in self.index.update(changed):
            log.error("%s", error)
