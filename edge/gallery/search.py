"""Exact search: the nearest subject by cosine, and the best score of anybody else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.gallery.store import Store
from edge.subject import SubjectRecord
from edge.values import Match


class Index:
    """Templates in memory, one contiguous matrix."""

    def __init__(self, subjects: list[str], templates: NDArray[np.float32]) -> None:
        self._names = sorted(set(subjects))
        number = {name: i for i, name in enumerate(self._names)}
        self._owner = np.array([number[s] for s in subjects], dtype=np.int64)
        self._templates = np.ascontiguousarray(templates, dtype=np.float32)

    @property
    def templates(self) -> int:
        return len(self._owner)

    @property
    def subjects(self) -> int:
        return len(self._names)

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        """The best subject for one embedding (D,) of unit norm; None in an empty gallery."""
        if not len(self._owner):
            return None
        scores = self._templates @ embedding
        best = int(scores.argmax())
        others = scores[self._owner != self._owner[best]]
        runner_up = float(others.max()) if others.size else -1.0
        return Match(self._names[self._owner[best]], float(scores[best]), runner_up)

    def best_other(self, embedding: NDArray[np.float32], subject: str) -> tuple[float, str | None]:
        """The best score of anybody but `subject`, and whose it is; -1 and None where there is nobody else."""
        others = np.flatnonzero([self._names[owner] != subject for owner in self._owner])
        if not others.size:
            return -1.0, None
        scores = self._templates[others] @ embedding
        best = int(scores.argmax())
        return float(scores[best]), self._names[self._owner[others[best]]]


class Gallery:
    """The index of a store, kept up to date with what other processes write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reload()

    @property
    def index(self) -> Index:
        return self._index

    def refresh(self) -> bool:
        """Load again if another process has committed; whether it had. Raises GalleryError, keeping what it knew."""
        version = self._store.version()
        if version == self._version:
            return False
        self.reload()
        return True

    def reload(self) -> None:
        """Load in any case; raises GalleryError, keeping what it knew."""
        version, known = self._store.version(), [known for known in self._store.known() if len(known.templates)]
        names = [one.name for one in known for _ in one.templates]
        rows = np.vstack([one.templates for one in known]) if known else np.zeros((0, 0), np.float32)
        self._index, self._records, self._version = Index(names, rows), {one.name: one.record for one in known}, version

    def record(self, subject: str) -> SubjectRecord:
        """What is known of a subject beside the templates."""
        return self._records.get(subject, SubjectRecord())

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        return self._index.search(embedding)
