"""Exact search: the nearest subject by cosine, and the best score of anybody else.

Small galleries are searched by one float32 product. In larger ones a product of half the width rules out who can be neither, and
the rest are scored in full.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge.access.reasons import Reason
from edge.errors import GalleryError
from edge.gallery import bf16_index
from edge.gallery.bf16_index import BLOCK, UNIT_ERROR, Bf16Index
from edge.gallery.database import Position
from edge.gallery.store import Changes, GalleryStore
from edge.subject import SubjectRecord
from edge.values import Match

log = logging.getLogger(__name__)

_PACKED_FROM = 3000  # below, one float32 product is as fast: docs/measurements/search.md
_LEAST_ROOM = 256
_CHECK_S = 1.0  # between comparisons of the open file with the one at its path
_LINE = 64  # bytes
_AT_ONCE = 4096  # rows scored in full at once, so that many of them take little memory

Templates = NDArray[np.float32]
_NOTHING: Templates = np.zeros((0, 0), np.float32)


class Index:
    """Templates in memory, in rows that lie one after the other; changed in place. `bf16_from`: templates from which on numkong
    is used, where there is a kernel for this processor."""

    refusal: Reason | None = None  # an index is never out of reach

    def __init__(self, *, bf16_from: int = _PACKED_FROM) -> None:
        self._packed_from = bf16_from
        self._packed: Bf16Index | None = None  # where this processor can
        self._narrow: Bf16Index | None = None  # where it is worth it
        self._count = 0
        self.rows = self._filled = _NOTHING  # with room at the end, and without
        self._owners = np.zeros(0, np.int64)
        self._names: dict[int, str] = {}
        self._rows_of: dict[int, NDArray[np.intp]] = {}

    @classmethod
    def from_templates(
        cls, subjects: Sequence[str], templates: Templates, *, bf16_from: int = _PACKED_FROM
    ) -> Index:
        """From one subject's name for each template (N,D); raises GalleryError."""
        names = sorted(set(subjects))
        order = {name: owner for owner, name in enumerate(names)}
        owners = np.array([order[subject] for subject in subjects], np.int64)
        by_owner = np.argsort(owners, kind="stable")
        parts = (
            np.split(by_owner, np.cumsum(np.bincount(owners, minlength=len(names)))[:-1])
            if names
            else []
        )
        index = cls(bf16_from=bf16_from)
        for error in index.update(
            {owner: (name, templates[parts[owner]]) for owner, name in enumerate(names)}
        ):
            raise error
        return index

    @property
    def templates(self) -> int:
        return self._count

    @property
    def subjects(self) -> int:
        return len(self._names)

    def add(self, owner: int, name: str, templates: Templates) -> None:
        """Templates (N,D) of unit norm in place of whatever this subject had; raises GalleryError, changing nothing."""
        self._check(owner, templates, self._dimension(templates))
        self.update({owner: (name, templates)})

    def drop(self, owner: int) -> None:
        """Forget a subject, if there is one; the rows are overwritten."""
        self.update({owner: ("", _NOTHING)})

    def update(self, subjects: Mapping[int, tuple[str, Templates]]) -> list[GalleryError]:
        """Put many at once, each as by `put`; none to drop one. Who is refused is out, and named in what comes back."""
        refused, good, dimension = [], {}, 0
        for owner, (name, templates) in subjects.items():
            if len(templates):
                wanted = dimension or self._dimension(templates)
                try:
                    self._check(owner, templates, wanted)
                except GalleryError as error:
                    refused.append(error)
                else:
                    good[owner], dimension = (name, templates), wanted
        changed = {row // BLOCK for row in self._take_out(subjects.keys())}
        first = self._count
        self._append(good, dimension)
        changed.update(range(first // BLOCK, -(-self._count // BLOCK)))
        self._filled = self.rows[: self._count]
        self._narrow = self._packed if self._count >= self._packed_from else None
        if self._packed is not None:
            self._packed.update(self._filled if self._narrow else _NOTHING, changed)
        return refused

    def clear(self) -> None:
        """Remove all subjects; all rows are overwritten."""
        self.update(dict.fromkeys(list(self._names), ("", _NOTHING)))

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        """The best subject for one embedding (D,) of unit norm; None in an empty gallery."""
        if not self._count:
            return None
        scores = (
            self._narrow.scores(embedding[None])[0] if self._narrow else self._filled.dot(embedding)
        )
        return self._match(scores, embedding)

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]:
        """The best subject for each embedding (B,D); templates are read once for all of them."""
        if not self._count:
            return [None] * len(embeddings)
        # The other way round BLAS packs all templates first.
        scores = (
            self._narrow.scores(embeddings)
            if self._narrow
            else np.ascontiguousarray((self._filled @ embeddings.T).T)
        )
        return [self._match(row, query) for row, query in zip(scores, embeddings, strict=True)]

    def best_other(
        self, embedding: NDArray[np.float32], *subjects: str
    ) -> tuple[float, str | None]:
        """Return the best score of all except `subjects` and its owner; -1 and None without any."""
        own = [self._rows_of[owner] for owner, name in self._names.items() if name in subjects]
        if sum(len(rows) for rows in own) == self._count:
            return -1.0, None
        scores = (
            self._narrow.scores(embedding[None])[0] if self._narrow else self._filled.dot(embedding)
        )
        for rows in own:
            scores[rows] = -np.inf
        best = scores.argmax()
        score, owner = float(scores[best]), self._owners.item(best)
        if self._narrow:
            (score, owner), _ = self._rescored(scores, score, embedding)
        return score, self._names[owner]

    def subject_scores(self, embeddings: Templates, subject: str) -> NDArray[np.float32]:
        """Return scores (N,M) of embeddings (N,D) with the M templates of an enrolled subject."""
        rows = [self._rows_of[owner] for owner, name in self._names.items() if name == subject]
        return np.asarray(embeddings @ self._filled[np.concatenate(rows)].T, np.float32)

    def _match(self, scores: NDArray[np.float32], query: NDArray[np.float32]) -> Match:
        """From a query's products with all rows (N,). Raises ValueError for a query that is not finite."""
        best = scores.argmax()
        score, owner = float(scores[best]), self._owners.item(best)
        if not math.isfinite(score):
            raise ValueError(
                "expected a finite embedding to search for, found one that is not: the embedder is broken"
            )
        own = self._rows_of[owner]
        kept = scores[own]
        scores[own] = -np.inf
        runner_up = float(scores[scores.argmax()])
        if self._narrow:
            scores[own] = kept
            (score, owner), (runner_up, _) = self._rescored(scores, runner_up, query)
        return Match(self._names[owner], score, max(runner_up, -1.0))

    def _rescored(
        self, scores: NDArray[np.float32], floor: float, query: NDArray[np.float32]
    ) -> tuple[tuple[float, int], tuple[float, int]]:
        """The best subject and the best other, with exact scores: both are among the rows that could be as good as one whose almost
        exact score is `floor`, if there are rows of two subjects at or above it."""
        error = bf16_index.score_error_bound(len(query), math.sqrt(np.dot(query, query)))
        found = (scores >= floor - 2 * error).nonzero()[0]
        best = second = (-math.inf, -1)
        for score, owner in zip(
            self._exact(found, query), self._owners[found].tolist(), strict=True
        ):
            if owner == best[1]:
                best = max(best, (score, owner))
            elif score > best[0]:
                best, second = (score, owner), best
            elif score > second[0]:
                second = score, owner
        return best, second

    def _exact(self, rows: NDArray[np.intp], query: NDArray[np.float32]) -> list[float]:
        if len(rows) > _AT_ONCE:
            return [
                score
                for i in range(0, len(rows), _AT_ONCE)
                for score in self._exact(rows[i : i + _AT_ONCE], query)
            ]
        scores: list[float] = (self.rows[rows] @ query).tolist()
        return scores

    def _dimension(self, templates: Templates) -> int:
        return int(self.rows.shape[1] or templates.shape[-1])

    @staticmethod
    def _check(owner: int, templates: Templates, dimension: int) -> None:
        """Raise GalleryError for a bad shape; the message is logged: number, not name."""
        if templates.ndim != 2 or templates.shape[1] != dimension:
            raise GalleryError(
                f"the templates of subject {owner} have {templates.shape[-1]} numbers, "
                f"expected {dimension}: the gallery is damaged or of another model; "
                "see edge-gallery verify, enroll again or restore a backup"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", templates, templates))
        if not (np.abs(norms - 1) <= UNIT_ERROR).all():
            raise GalleryError(
                f"a template of subject {owner} is not of unit length: the gallery is damaged; "
                "see edge-gallery verify, enroll again or restore a backup"
            )

    def _take_out(self, owners: Collection[int]) -> list[int]:
        """Remove all rows of some owners; the rows at the end move into the holes, which come back."""
        own = [
            self._rows_of.pop(owner) for owner in owners if self._names.pop(owner, None) is not None
        ]
        if not own:
            return []
        gone = np.concatenate(own)
        left = self._count - len(gone)
        holes = np.sort(gone[gone < left])
        moved = np.setdiff1d(np.arange(left, self._count), gone, assume_unique=True)
        for row, hole in zip(moved, holes, strict=True):
            of = self._rows_of[int(self._owners[row])]
            of[of == row] = hole
        self.rows[holes], self._owners[holes] = self.rows[moved], self._owners[moved]
        self.rows[left : self._count] = 0  # who was erased is not left lying here
        self._count = left
        return [int(hole) for hole in holes]

    def _append(self, subjects: Mapping[int, tuple[str, Templates]], dimension: int) -> None:
        self._make_room(
            self._count + sum(len(templates) for _, templates in subjects.values()), dimension
        )
        for owner, (name, templates) in subjects.items():
            until = self._count + len(templates)
            self.rows[self._count : until], self._owners[self._count : until] = templates, owner
            self._names[owner], self._rows_of[owner] = name, np.arange(self._count, until)
            self._count = until

    def _make_room(self, wanted: int, dimension: int) -> None:
        if wanted <= len(self.rows):
            return
        if not self.rows.shape[1]:
            self.rows = np.zeros((0, dimension), np.float32)
            self._packed = bf16_index.build_bf16_index(dimension)
        room = max(_LEAST_ROOM, 1 << (wanted - 1).bit_length())
        rows, owners = _empty(room, dimension), np.zeros(room, np.int64)
        rows[: self._count], owners[: self._count] = (
            self.rows[: self._count],
            self._owners[: self._count],
        )
        self.rows[:] = 0  # who is erased later must not be left lying in memory that was given back
        self.rows, self._owners = rows, owners


def _empty(room: int, dimension: int) -> Templates:
    """Zeros that begin on a line of the cache: with rows across two lines a product takes a tenth longer."""
    numbers = _LINE // 4
    whole = np.zeros(room * dimension + numbers, np.float32)
    first = -(whole.ctypes.data // 4) % numbers
    return whole[first : first + room * dimension].reshape(room, dimension)


@dataclass(slots=True, eq=False)
class _Held:
    """Content of a gallery in memory."""

    index: Index = field(default_factory=Index)
    names: dict[int, str] = field(default_factory=dict)  # by number
    records: dict[str, SubjectRecord] = field(default_factory=dict)  # by name
    marks: dict[int, bytes] = field(default_factory=dict)  # by number
    revision: int = 0

    def update(self, changes: Changes) -> None:
        """Take over changes. A subject that cannot be searched is left out and reported."""
        known = {owner: known for owner, known in changes.subjects.items() if known is not None}
        gone = {owner: ("", _NOTHING) for owner in changes.subjects if owner not in known}
        for error in self.index.update(
            {**gone, **{owner: (one.name, one.templates) for owner, one in known.items()}}
        ):
            log.error("%s", error)
        for owner in changes.subjects:
            self.records.pop(self.names.pop(owner, ""), None)
            self.marks.pop(owner, None)
        for owner, one in known.items():
            self.names[owner], self.records[one.name] = one.name, one.record
        self.marks.update(changes.row_versions)
        self.revision = changes.revision


class LiveGallery:
    """Index of a store, kept up to date with the writes of other processes.

    Once a second, and with every commit of another process, the file at the store's path is
    compared with the open one; another file is opened and loaded.
    """

    refusal: Reason | None = None  # while this gallery may admit no one

    def __init__(self, store: GalleryStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises GalleryError."""
        self._store, self._clock = store, clock
        self._held, self._version = _Held(), 0
        self._trouble: GalleryError | None = None  # of the last check
        self._next_check = clock() + _CHECK_S
        self.position: Position  # state in memory, for processes that wait for a change
        self._load()

    @property
    def index(self) -> Index:
        return self._held.index

    @property
    def templates(self) -> int:
        return self._held.index.templates

    @property
    def revision(self) -> int:
        """Number of the last change in memory; an older file makes it smaller."""
        return self._held.revision

    def refresh(self) -> bool:
        """Take over commits of other processes; return True if they changed a subject.

        Raises GalleryError, until a later check succeeds; the content in memory stays as it was.
        """
        now = self._clock()
        if now < self._next_check and (self._trouble is not None or self._is_unchanged()):
            if self._trouble is not None:
                raise type(self._trouble)(str(self._trouble))
            return False
        self._next_check = now + _CHECK_S
        try:
            changed = self._follow()
        except GalleryError as error:
            self._trouble = error
            raise
        self._trouble = None
        return changed

    def reload(self) -> None:
        """Load all subjects from the file that is at the path now; raises GalleryError."""
        try:
            self._store.reconnect()
            self._load()
        except GalleryError as error:
            self._trouble = error
            raise
        self._trouble = None

    def _is_unchanged(self) -> bool:
        try:
            return self._store.data_version() == self._version
        except GalleryError:
            return False

    def _follow(self) -> bool:
        changed = self._trouble is None and self._store.is_same_file() and self._read_changes()
        if self._trouble is None and self._store.is_current():
            return changed
        self._store.reconnect()
        return self._compare() or changed

    def _read_changes(self) -> bool:
        """Take over commits since the last time, by the open connection."""
        try:
            version = self._store.data_version()
            if version == self._version:
                return False
            changes = self._store.changes(self._held.revision)
        except GalleryError as error:
            self._trouble = error  # a retry by a fresh connection follows
            return False
        if changes.revision < self._held.revision:  # the file was replaced by an older one
            self._load()
            return True
        self._update(changes)
        self._version = version
        self._note_position()
        return bool(changes.subjects)

    def _compare(self) -> bool:
        """Load all subjects if the reopened file has other content; return True if so."""
        version = self._store.data_version()
        if self._store.row_versions() == self._held.marks:
            self._held.revision = self._store.read_position().revision
            self._version = version
            self._note_position()
            return False
        self._load()
        return True

    def _load(self) -> None:
        version, held = self._store.data_version(), _Held()
        held.update(self._store.changes(0))
        before, self._held, self._version = self._held, held, version
        before.index.clear()
        self._note_position()

    def _note_position(self) -> None:
        self.position = replace(self._store.read_position(), revision=self._held.revision)

    def _update(self, changes: Changes) -> None:
        """Apply changes to the memory completely; after an error all subjects are removed."""
        try:
            self._held.update(changes)
        except BaseException:
            self._held, self._version = _Held(), -1
            raise

    def find_record(self, subject: str) -> SubjectRecord | None:
        """Return the record of a subject; None if not enrolled."""
        return self._held.records.get(subject)

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        return self._held.index.search(embedding)

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]:
        return self._held.index.search_all(embeddings)
