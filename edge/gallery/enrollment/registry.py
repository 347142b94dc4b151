"""Who is enrolled: what new faces are compared with, and where they go."""

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
    """A store's people in memory. A dry one notes people only there, so that it does not need a store."""

    def __init__(self, store: GalleryStore | None, *, dry: bool = False) -> None:
        """Raises GalleryError."""
        self._store, self._dry = store, dry or store is None
        self._revision = 0
        self._known: dict[int, Subject] = {}
        self._numbers: dict[str, int] = {}
        self._next_dry = -1  # the store's numbers are positive
        self.index = Index()  # everybody's templates
        self.refresh()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, name: str) -> Subject | None:
        """A subject as it stands; None for a stranger."""
        number = self._numbers.get(name_key(name))
        return None if number is None else self._known[number]

    def spelling(self, name: str) -> str:
        """Return a subject's stored name, or the normalised name if it is not enrolled."""
        known = self.find(name)
        return normalize_name(name) if known is None else known.name

    def refresh(self) -> None:
        """See what was changed since, here or by another process; raises GalleryError."""
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
        """Templates (N,D) of a subject with what is known of it, durable on return unless this is dry; raises GalleryError."""
        if self._store is None or self._dry:
            before = self.find(name)
            kept = (
                [before.templates]
                if before is not None and len(before.templates) and not replace
                else []
            )
            templates = (
                np.concatenate([*kept, embeddings]) if len(embeddings) or not kept else kept[0]
            )
            self._apply(
                {
                    self._numbers.get(name_key(name), self._next_dry): Subject(
                        name, record, templates
                    )
                }
            )
            self._next_dry -= 1
            return
        if len(embeddings):
            self._store.enroll(name, embeddings, record=record, chips=chips, replace=replace)
        else:
            self._store.update_attributes(name, record)
        self.refresh()

    def _apply(self, subjects: Mapping[int, Subject | None]) -> None:
        """By number; None: erased. Whose templates are damaged is reported, and holds up nobody else's enrollment."""
        for number in subjects:
            if (before := self._known.pop(number, None)) is not None:
                self._numbers.pop(name_key(before.name), None)
        for number, known in subjects.items():
            if known is not None:
                self._known[number], self._numbers[name_key(known.name)] = known, number
        changed = {
            number: (known.name, known.templates) if known else ("", _EMPTY)
            for number, known in subjects.items()
        }
        for error in self.index.put_all(changed):
            log.error("%s", error)
