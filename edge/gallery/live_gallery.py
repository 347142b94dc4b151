"""Gallery in memory that follows the database while other processes change it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.access.reasons import Reason
from edge.errors import GalleryError
from edge.gallery.database import Position
from edge.gallery.reader import Changes
from edge.gallery.search import Index
from edge.gallery.store import GalleryStore
from edge.gallery.subject_cache import SubjectCache
from edge.subject import SubjectRecord
from edge.values import Match

_CHECK_S = 1.0  # between comparisons of the open file with the one at its path


class LiveGallery:
    """Index of a store, kept up to date with the writes of other processes.

    Once a second, and after every commit of another process, the file at the store's path is
    compared with the open one; another file is opened and loaded.
    """

    refusal: Reason | None = None  # set while this gallery may grant no one

    def __init__(self, store: GalleryStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Load all subjects. Raises GalleryError."""
        self._store, self._clock = store, clock
        self._cache, self._data_version = SubjectCache(), 0
        self._error: GalleryError | None = None  # of the last check
        self._next_check = clock() + _CHECK_S
        self.position: Position  # state in memory, for processes that wait for a change
        self._load()

    @property
    def index(self) -> Index:
        return self._cache.index

    @property
    def templates(self) -> int:
        return self._cache.index.templates

    @property
    def revision(self) -> int:
        """Number of the last change in memory; an older file makes it smaller."""
        return self._cache.revision

    def find_record(self, subject: str) -> SubjectRecord | None:
        """Return the attributes of a subject; None if not enrolled."""
        return self._cache.find_record(subject)

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        """Return the best subject for an embedding (D,) of unit norm; None in an empty gallery."""
        return self._cache.index.search(embedding)

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]:
        """Return the best subject for each embedding (B,D)."""
        return self._cache.index.search_all(embeddings)

    def compare(self, embedding: NDArray[np.float32], subject: str) -> Match | None:
        """Return the 1:1 comparison with a subject; None if not enrolled."""
        return self._cache.index.compare(embedding, subject)

    def refresh(self) -> bool:
        """Apply commits of other processes; return True if they changed a subject.

        Raises GalleryError, until a later check succeeds; the content in memory stays as it was.
        """
        now = self._clock()
        if now < self._next_check and (self._error is not None or self._is_unchanged()):
            if self._error is not None:
                raise type(self._error)(str(self._error))
            return False
        self._next_check = now + _CHECK_S
        try:
            changed = self._follow()
        except GalleryError as error:
            self._error = error
            raise
        self._error = None
        return changed

    def reload(self) -> None:
        """Load all subjects from the file that is at the path now; raises GalleryError."""
        try:
            self._store.reconnect()
            self._load()
        except GalleryError as error:
            self._error = error
            raise
        self._error = None

    def _is_unchanged(self) -> bool:
        try:
            return self._store.data_version() == self._data_version
        except GalleryError:
            return False

    def _follow(self) -> bool:
        changed = self._error is None and self._store.is_same_file() and self._read_changes()
        if self._error is None and self._store.is_current():
            return changed
        self._store.reconnect()
        return self._compare() or changed

    def _read_changes(self) -> bool:
        """Apply commits since the last time, by the open connection."""
        try:
            version = self._store.data_version()
            if version == self._data_version:
                return False
            changes = self._store.changes(self._cache.revision)
        except GalleryError as error:
            self._error = error  # a retry by a new connection follows
            return False
        if changes.revision < self._cache.revision:  # the file was replaced by an older one
            self._load()
            return True
        self._apply(changes)
        self._data_version = version
        self._update_position()
        return bool(changes.subjects)

    def _compare(self) -> bool:
        """Load all subjects if the reopened file has other content; return True if so."""
        version = self._store.data_version()
        if self._store.row_versions() != self._cache.row_versions:
            self._load()
            return True
        self._cache.revision = self._store.read_position().revision
        self._data_version = version
        self._update_position()
        return False

    def _load(self) -> None:
        version, cache = self._store.data_version(), SubjectCache()
        cache.apply(self._store.changes(0))
        old, self._cache, self._data_version = self._cache, cache, version
        old.index.clear()
        self._update_position()

    def _update_position(self) -> None:
        self.position = replace(self._store.read_position(), revision=self._cache.revision)

    def _apply(self, changes: Changes) -> None:
        """Apply changes completely; after an error all subjects are removed from memory."""
        try:
            self._cache.apply(changes)
        except BaseException:
            self._cache, self._data_version = SubjectCache(), -1
            raise
