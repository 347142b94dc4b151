"""Embeddings of many chips, and scores of all against all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration.metrics import ComparisonCounts
from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError

Outputs = dict[str, NDArray[np.float32]]
PROBE_OUTPUTS = ("mask_worn", "expected_similarity")  # besides embedding and maps


def embed_chips(
    engine: Engine,
    count: int,
    chip: Callable[[int], NDArray[np.uint8]],
    *,
    what: str,
    batch: int = 64,
    keep: Sequence[str] = (),
    optional: Sequence[str] = (),
    quiet: bool = False,
) -> Outputs:
    """Return unit-norm `embedding` (N,D) of `count` chips and the outputs in `keep`.

    Outputs in `optional` are returned if the network has them. Another thread calls `chip`, in
    order: it draws the next batch while the network runs. Shows a progress bar. Raises EngineError
    for zero or non-finite embeddings.
    """

    def draw(start: int) -> NDArray[np.float32]:
        return to_input(np.stack([chip(i) for i in range(start, min(start + batch, count))]))

    parts: list[Outputs] = []
    with (
        ThreadPoolExecutor(1, thread_name_prefix="draw") as pool,
        tqdm(total=count, desc=what, unit="chip", disable=True if quiet else None) as bar,
    ):
        drawn = pool.submit(draw, 0)
        for start in range(0, count, batch):
            inputs = drawn.result()
            if start + batch < count:
                drawn = pool.submit(draw, start + batch)
            outputs = require_outputs(engine.run(inputs), "embedding", *keep)
            names = ("embedding", *keep, *(name for name in optional if name in outputs))
            parts.append({name: outputs[name] for name in names})
            bar.update(len(inputs))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    norm = np.linalg.norm(joined["embedding"], axis=1, keepdims=True)
    if not (np.isfinite(norm).all() and (norm > 0).all()):
        raise EngineError("embeddings that are zero or not finite; the network is broken")
    joined["embedding"] = joined["embedding"] / norm
    return joined


def require_outputs(outputs: Outputs, *names: str) -> Outputs:
    """Return the outputs; raises EngineError if one is missing."""
    missing = [name for name in names if name not in outputs]
    if missing:
        raise EngineError(f"expected the outputs {', '.join(names)}, missing {', '.join(missing)}")
    return outputs


@dataclass(frozen=True, slots=True, eq=False)
class LabelledEmbeddings:
    """Unit-norm embeddings (N,D) with person labels (N,), 0..P-1."""

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]


def all_scores(
    probes: LabelledEmbeddings, templates: LabelledEmbeddings, *, same_pictures: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mated and non-mated scores of all probes against all templates.

    `same_pictures`: row i of both sets is the same picture, and is not compared with itself.
    """
    scores, own, wanted = _comparisons(probes, templates, same_pictures)
    return scores[own & wanted], scores[~own & wanted]


def count_by_person(
    probes: LabelledEmbeddings,
    templates: LabelledEmbeddings,
    threshold: float,
    *,
    same_pictures: bool = True,
) -> ComparisonCounts:
    """Count comparisons and matches at a threshold, by person, for the bootstrap."""
    scores, own, wanted = _comparisons(probes, templates, same_pictures)
    people = int(max(probes.labels.max(), templates.labels.max())) + 1
    by_pair = probes.labels[:, None] * people + templates.labels[None]
    hit = scores >= threshold

    def pairs(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(by_pair[chosen], minlength=people * people).reshape(people, people)

    return ComparisonCounts(
        non_mated=pairs(wanted & ~own),
        false_matches=pairs(wanted & ~own & hit),
        mated=pairs(wanted & own).diagonal().copy(),
        true_matches=pairs(wanted & own & hit).diagonal().copy(),
    )


def matching_probes(
    probes: LabelledEmbeddings,
    templates: LabelledEmbeddings,
    threshold: float,
    *,
    same_pictures: bool = True,
) -> NDArray[np.bool_]:
    """Return True (N,) for probes that match a template of their person, of another picture."""
    own = probes.labels[:, None] == templates.labels[None]
    if same_pictures:
        np.fill_diagonal(own, val=False)
    return np.asarray((own & (probes.vectors @ templates.vectors.T >= threshold)).any(axis=1))


def _comparisons(
    probes: LabelledEmbeddings, templates: LabelledEmbeddings, same_pictures: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return scores (N,M), which of them are mated, and which of them count.

    For one set against itself each unordered pair counts once. For two variants of the same
    pictures, row by row, all pairs count except a picture with itself. For other pictures all pairs
    count.
    """
    scores = probes.vectors @ templates.vectors.T
    own = probes.labels[:, None] == templates.labels[None]
    if probes is templates:
        return scores, own, np.triu(np.ones(scores.shape, np.bool_), 1)
    if not same_pictures:
        return scores, own, np.ones(scores.shape, np.bool_)
    return scores, own, ~np.eye(*scores.shape, dtype=np.bool_)
