"""Exact search: the best subject by cosine, and the best score of all others.

Small galleries are searched by one float32 product. In larger ones bfloat16 scores exclude most
rows, and the rest are scored in float32: docs/measurements/search.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.access.reasons import Reason
from edge.errors import GalleryError
from edge.gallery import bf16_index
from edge.gallery.bf16_index import BLOCK, UNIT_ERROR, Bf16Index
from edge.values import Match

_BF16_FROM = 3000  # templates; below, one float32 product is as fast
_CAPACITY_MIN = 256  # rows
_CACHE_LINE = 64  # bytes
_BATCH = 4096  # rows scored in float32 at once: limits the memory

Templates = NDArray[np.float32]
_EMPTY: Templates = np.zeros((0, 0), np.float32)
_REMEDY = "see edge-gallery verify, enroll again or restore a backup"


class Index:
    """Templates in memory, in contiguous rows that are changed in place.

    From `bf16_from` templates on, bfloat16 is used if there is a kernel for this processor.
    """

    refusal: Reason | None = None  # an index is always available

    def __init__(self, *, bf16_from: int = _BF16_FROM) -> None:
        self._bf16_from = bf16_from
        self._bf16: Bf16Index | None = None  # None without a kernel for this processor
        self._coarse: Bf16Index | None = None  # the same while the gallery is large, else None
        self._count = 0
        self._rows = self._filled = _EMPTY  # with and without free capacity at the end
        self._owners = np.zeros(0, np.int64)  # subject's number of each row
        self._names: dict[int, str] = {}
        self._rows_by_owner: dict[int, NDArray[np.intp]] = {}

    @classmethod
    def from_templates(
        cls, subjects: Sequence[str], templates: Templates, *, bf16_from: int = _BF16_FROM
    ) -> Index:
        """Build an index from the subject of each template (N,D); raises GalleryError."""
        names = sorted(set(subjects))
        number = {name: owner for owner, name in enumerate(names)}
        owners = np.array([number[subject] for subject in subjects], np.int64)
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(np.bincount(owners, minlength=len(names)))
        rows = np.split(order, ends[:-1]) if names else []
        index = cls(bf16_from=bf16_from)
        for error in index.update(
            {owner: (name, templates[rows[owner]]) for owner, name in enumerate(names)}
        ):
            raise error
        return index

    @property
    def templates(self) -> int:
        """Number of templates."""
        return self._count

    @property
    def subjects(self) -> int:
        """Number of subjects with templates."""
        return len(self._names)

    def templates_of(self, owner: int) -> Templates:
        """Return a copy of a subject's templates (N,D); (0,0) for an unknown number."""
        rows = self._rows_by_owner.get(owner)
        return _EMPTY if rows is None else self._rows[rows]

    def add(self, owner: int, name: str, templates: Templates) -> None:
        """Replace the templates (N,D), of unit norm, of one subject.

        Raises GalleryError and changes nothing if they are invalid.
        """
        self._check(owner, templates, self._dimension(templates))
        self.update({owner: (name, templates)})

    def update(self, subjects: Mapping[int, tuple[str, Templates] | None]) -> list[GalleryError]:
        """Replace the templates of many subjects, None to remove one.

        A subject with invalid templates is removed; the errors are returned.
        """
        errors: list[GalleryError] = []
        valid: dict[int, tuple[str, Templates]] = {}
        dimension = 0
        for owner, entry in subjects.items():
            if entry is not None and len(entry[1]):
                wanted = dimension or self._dimension(entry[1])
                try:
                    self._check(owner, entry[1], wanted)
                except GalleryError as error:
                    errors.append(error)
                else:
                    valid[owner], dimension = entry, wanted
        changed = {row // BLOCK for row in self._remove(subjects.keys())}
        first = self._count
        self._append(valid, dimension)
        changed.update(range(first // BLOCK, -(-self._count // BLOCK)))
        self._filled = self._rows[: self._count]
        self._coarse = self._bf16 if self._count >= self._bf16_from else None
        if self._bf16 is not None:
            self._bf16.update(self._filled if self._coarse else _EMPTY, changed)
        return errors

    def clear(self) -> None:
        """Remove all subjects; all rows are overwritten."""
        self.update(dict.fromkeys(list(self._names)))

    def search(self, embedding: NDArray[np.float32]) -> Match | None:
        """Return the best subject for an embedding (D,) of unit norm; None in an empty gallery."""
        return self._match(self._scores(embedding), embedding) if self._count else None

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]:
        """Return the best subject for each embedding (B,D); all rows are read once."""
        if not self._count:
            return [None] * len(embeddings)
        # In the other order BLAS packs all templates first.
        scores = (
            self._coarse.scores(embeddings)
            if self._coarse
            else np.ascontiguousarray((self._filled @ embeddings.T).T)
        )
        return [self._match(row, query) for row, query in zip(scores, embeddings, strict=True)]

    def best_other(
        self, embedding: NDArray[np.float32], *subjects: str
    ) -> tuple[float, str | None]:
        """Return the best score of all except `subjects`, and its subject; -1, None if empty."""
        own = self._rows_of_names(subjects)
        if sum(len(rows) for rows in own) == self._count:
            return -1.0, None
        scores = self._scores(embedding)
        for rows in own:
            scores[rows] = -np.inf
        best = scores.argmax()
        score, owner = float(scores[best]), self._owners.item(best)
        if self._coarse:
            (score, owner), _ = self._rescore(scores, score, embedding)
        return score, self._names[owner]

    def subject_scores(self, embeddings: Templates, subject: str) -> NDArray[np.float32]:
        """Return scores (N,M) of embeddings (N,D) with the M templates of an enrolled subject."""
        rows = np.concatenate(self._rows_of_names([subject]))
        return np.asarray(embeddings @ self._filled[rows].T, np.float32)

    def compare(self, embedding: NDArray[np.float32], subject: str) -> Match | None:
        """Return the 1:1 comparison of an embedding (D,) with a subject; None if not enrolled."""
        own = self._rows_of_names([subject])
        if not own:
            return None
        score = float((self._filled[own[0]] @ embedding).max())
        return Match(subject, score, runner_up=-1.0, is_claimed=True)

    def best_template(
        self, embedding: NDArray[np.float32], subject: str
    ) -> NDArray[np.float32] | None:
        """Return a copy of a subject's template (D,) that scores highest; None if not enrolled."""
        own = self._rows_of_names([subject])
        if not own:
            return None
        templates = self._filled[own[0]]
        return np.array(templates[(templates @ embedding).argmax()])

    def _rows_of_names(self, subjects: Collection[str]) -> list[NDArray[np.intp]]:
        owners = [owner for owner, name in self._names.items() if name in subjects]
        return [self._rows_by_owner[owner] for owner in owners]

    def _scores(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores (N,) of all rows, approximate in a large gallery."""
        scores: NDArray[np.float32] = (
            self._coarse.scores(embedding[None])[0] if self._coarse else self._filled.dot(embedding)
        )
        return scores

    def _match(self, scores: NDArray[np.float32], query: NDArray[np.float32]) -> Match:
        """Return the match of a query with scores (N,). Raises ValueError if it is not finite."""
        best = scores.argmax()
        score, owner = float(scores[best]), self._owners.item(best)
        if not math.isfinite(score):
            raise ValueError(
                "expected a finite embedding, found NaN or inf: the embedder is broken"
            )
        own = self._rows_by_owner[owner]
        kept = scores[own]
        scores[own] = -np.inf
        runner_up = float(scores[scores.argmax()])
        if self._coarse:
            scores[own] = kept
            (score, owner), (runner_up, _) = self._rescore(scores, runner_up, query)
        return Match(self._names[owner], score, max(runner_up, -1.0))

    def _rescore(
        self, scores: NDArray[np.float32], floor: float, query: NDArray[np.float32]
    ) -> tuple[tuple[float, int], tuple[float, int]]:
        """Return the best subject and the best other one, with exact scores.

        Both are among the rows whose approximate score may reach `floor` within the error bound,
        if rows of two subjects are at or above `floor`.
        """
        error = bf16_index.score_error_bound(len(query), math.sqrt(np.dot(query, query)))
        found = (scores >= floor - 2 * error).nonzero()[0]
        best = second = (-math.inf, -1)
        for score, owner in zip(
            self._exact_scores(found, query), self._owners[found].tolist(), strict=True
        ):
            if owner == best[1]:
                best = max(best, (score, owner))
            elif score > best[0]:
                best, second = (score, owner), best
            elif score > second[0]:
                second = score, owner
        return best, second

    def _exact_scores(self, rows: NDArray[np.intp], query: NDArray[np.float32]) -> list[float]:
        scores: list[float] = []
        for first in range(0, len(rows), _BATCH):
            scores += (self._rows[rows[first : first + _BATCH]] @ query).tolist()
        return scores

    def _dimension(self, templates: Templates) -> int:
        return int(self._rows.shape[1] or templates.shape[-1])

    @staticmethod
    def _check(owner: int, templates: Templates, dimension: int) -> None:
        """Raise GalleryError for invalid templates; the message is logged: number, not name."""
        if templates.ndim != 2 or templates.shape[1] != dimension:
            raise GalleryError(
                f"the templates of subject {owner} have {templates.shape[-1]} numbers, "
                f"expected {dimension}: the gallery is damaged or of another model; {_REMEDY}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", templates, templates))
        if not (np.abs(norms - 1) <= UNIT_ERROR).all():
            raise GalleryError(
                f"a template of subject {owner} is not of unit length: the gallery is damaged; "
                f"{_REMEDY}"
            )

    def _remove(self, owners: Collection[int]) -> list[int]:
        """Remove all rows of some owners; rows at the end fill the gaps, which are returned."""
        own = [
            self._rows_by_owner.pop(owner)
            for owner in owners
            if self._names.pop(owner, None) is not None
        ]
        if not own:
            return []
        gone = np.concatenate(own)
        left = self._count - len(gone)
        gaps = np.sort(gone[gone < left])
        moved = np.setdiff1d(np.arange(left, self._count), gone, assume_unique=True)
        for row, gap in zip(moved, gaps, strict=True):
            rows = self._rows_by_owner[int(self._owners[row])]
            rows[rows == row] = gap
        self._rows[gaps], self._owners[gaps] = self._rows[moved], self._owners[moved]
        self._rows[left : self._count] = 0  # erased templates do not stay in memory
        self._count = left
        return [int(gap) for gap in gaps]

    def _append(self, subjects: Mapping[int, tuple[str, Templates]], dimension: int) -> None:
        added = sum(len(templates) for _, templates in subjects.values())
        self._reserve(self._count + added, dimension)
        for owner, (name, templates) in subjects.items():
            until = self._count + len(templates)
            self._rows[self._count : until], self._owners[self._count : until] = templates, owner
            self._names[owner], self._rows_by_owner[owner] = name, np.arange(self._count, until)
            self._count = until

    def _reserve(self, rows: int, dimension: int) -> None:
        """Make room for this many rows; the old memory is overwritten."""
        if rows <= len(self._rows):
            return
        if not self._rows.shape[1]:
            self._rows = np.zeros((0, dimension), np.float32)
            self._bf16 = bf16_index.build_bf16_index(dimension)
        capacity = max(_CAPACITY_MIN, 1 << (rows - 1).bit_length())
        larger, owners = _aligned_zeros(capacity, dimension), np.zeros(capacity, np.int64)
        larger[: self._count] = self._rows[: self._count]
        owners[: self._count] = self._owners[: self._count]
        self._rows[:] = 0  # templates erased later must not stay in memory given back
        self._rows, self._owners = larger, owners


def _aligned_zeros(rows: int, dimension: int) -> Templates:
    """Return zeros aligned to a cache line: rows across two lines are a tenth slower."""
    numbers = _CACHE_LINE // 4
    memory = np.zeros(rows * dimension + numbers, np.float32)
    first = -(memory.ctypes.data // 4) % numbers
    return memory[first : first + rows * dimension].reshape(rows, dimension)
