"""Enrolled people in memory, with which new faces are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.gallery.reader import Subject
from edge.gallery.search import Index
from edge.gallery.store import GalleryStore
from edge.gallery.subject_cache import SubjectCache
from edge.names import normalize_name
from edge.subject import SubjectRecord

Embeddings = NDArray[np.float32]  # (N,D) of unit norm


class EnrolledSubjects:
    """A store's subjects and their index; in a dry run, new subjects exist in memory only."""

    def __init__(self, store: GalleryStore | None, *, dry_run: bool) -> None:
        """Load the store's subjects; without a store every run is dry. Raises GalleryError."""
        self._store, self._dry_run = store, dry_run or store is None
        self._cache = SubjectCache()
        self._next_dry = -1  # the store's numbers are positive
        self.refresh()

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def index(self) -> Index:
        """Index of the templates of all subjects."""
        return self._cache.index

    def find(self, name: str) -> Subject | None:
        """Return a subject, None if the name is not enrolled."""
        return self._cache.find(name)

    def spelling(self, name: str) -> str:
        """Return a subject's stored name, or the normalised name if it is not enrolled."""
        known = self.find(name)
        return normalize_name(name) if known is None else known.name

    def refresh(self) -> None:
        """Apply changes made here or by another process; raises GalleryError."""
        if self._store is not None:
            self._cache.apply(self._store.changes(self._cache.revision))

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
        number = self._cache.number(name)
        if number is None:
            number, self._next_dry = self._next_dry, self._next_dry - 1
        self._cache.update({number: Subject(name, record, np.concatenate(parts))})
