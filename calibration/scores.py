"""Embeddings of many chips, and scores of all against all. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration.metrics import PersonCounts
from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError

Outputs = dict[str, NDArray[np.float32]]


def embed_chips(
    engine: Engine,
    count: int,
    chip: Callable[[int], NDArray[np.uint8]],
    *,
    what: str,
    batch: int = 64,
    keep: Sequence[str] = ("mask_worn",),
) -> Outputs:
    """Unit-norm `embedding` (N,D) of `count` chips and the other outputs in `keep`, with a progress bar."""
    parts: list[Outputs] = []
    with tqdm(total=count, desc=what, unit="chip", disable=None) as bar:
        for start in range(0, count, batch):
            chips = np.stack([chip(i) for i in range(start, min(start + batch, count))])
            outputs = engine.run(to_input(chips))
            parts.append({name: outputs[name] for name in ("embedding", *keep)})
            bar.update(len(chips))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    norm = np.linalg.norm(joined["embedding"], axis=1, keepdims=True)
    if not (np.isfinite(norm).all() and (norm > 0).all()):
        raise EngineError("embeddings that are zero or not finite; the network is broken")
    joined["embedding"] = joined["embedding"] / norm
    return joined


def all_scores(
    probes: NDArray[np.float32], probe_people: NDArray[np.int64], templates: NDArray[np.float32], template_people: NDArray[np.int64],
    *, same: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Mated and non-mated scores of every probe against every template.

    With `same` both sides are one set and each unordered pair counts once. Without it a probe is never compared with
    the template of its own picture, which must stand at the same row.
    """
    scores = probes @ templates.T
    own = probe_people[:, None] == template_people[None]
    wanted = np.triu(np.ones(scores.shape, bool), 1) if same else ~np.eye(*scores.shape, dtype=bool)
    return scores[own & wanted], scores[~own & wanted]


def count_by_person(
    probes: NDArray[np.float32], probe_people: NDArray[np.int64], templates: NDArray[np.float32], template_people: NDArray[np.int64],
    threshold: float, *, same: bool,
) -> PersonCounts:  # fmt: skip
    """Comparisons and matches at a threshold, by person, for the bootstrap; people are numbered 0..P-1."""
    people = int(max(probe_people.max(), template_people.max())) + 1
    scores = probes @ templates.T
    own = probe_people[:, None] == template_people[None]
    wanted = np.triu(np.ones(scores.shape, bool), 1) if same else ~np.eye(*scores.shape, dtype=bool)
    hit = scores >= threshold
    by_pair = probe_people[:, None] * people + template_people[None]

    def pairs(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(by_pair[chosen], minlength=people * people).reshape(people, people)

    return PersonCounts(
        non_mated=pairs(wanted & ~own),
        false_matches=pairs(wanted & ~own & hit),
        mated=pairs(wanted & own).diagonal().copy(),
        true_matches=pairs(wanted & own & hit).diagonal().copy(),
    )
