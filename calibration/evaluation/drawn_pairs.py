"""Pairs to verify, drawn from any folder of people: folds without common people, by a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.chips import ChipFolder
from calibration.evaluation.pair_sets import PairSet
from edge.errors import ConfigError

FOLDS, FOLDS_MIN = 10, 2
MATED_PER_FOLD = 300  # and 300 non-mated, as in LFW
NON_MATED_MIN = 1000  # in all folds, for an FMR of 1e-3
_IMAGES_PER_FOLD, _IMAGES_PER_PERSON = 600, 10

Pairs = NDArray[np.int64]  # (n, 2) rows of the folder


@dataclass(frozen=True, slots=True, eq=False)
class PairFold:
    """All pairs of the images of a fold's people."""

    mated: Pairs
    non_mated: Pairs


def draw_pairs(folder: ChipFolder, title: str, seed: int) -> PairSet:
    """Draw mated and non-mated pairs in equal folds without common people.

    Their numbers are equal if the data allows, with at least 1,000 non-mated pairs. With few people
    there are fewer than ten folds. Raises ConfigError if there are too few people for two folds.
    """
    for count in range(FOLDS, FOLDS_MIN - 1, -1):
        folds = _split(folder, count, seed)
        mated = min(MATED_PER_FOLD, *(len(fold.mated) for fold in folds))
        available = min(len(fold.non_mated) for fold in folds)
        non_mated = max(mated, math.ceil(NON_MATED_MIN / count))
        if mated >= 1 and available >= non_mated:
            return _pair_set(folder, title, folds, (mated, non_mated), seed)
    raise ConfigError(
        f"--pairs auto: {len(folder)} chips of {folder.people} people do not make "
        f"{NON_MATED_MIN:,} pairs of different people in {FOLDS_MIN} folds or more; name more "
        "people or photos, or add --all-identities to use all people, not only the tenth kept apart"
    )


def write_pairs(pairs: PairSet, path: Path) -> None:
    """Write a list for `read_list`: two names `<identity>/<image>` per line, with a tab."""
    if wrong := [name for name in pairs.names if not name.isprintable()]:
        raise ConfigError(f"{wrong[0]!a}: a name with control characters; rename the file")
    lines = [
        f"{pairs.names[a]}\t{pairs.names[b]}"
        for a, b in zip(pairs.first, pairs.second, strict=True)
    ]
    path.write_text("\n".join([f"{pairs.folds} folds", *lines, ""]), encoding="utf-8")


def _split(folder: ChipFolder, count: int, seed: int) -> list[PairFold]:
    """Distribute people to folds in a random order, those with several photos first."""
    rng = np.random.default_rng((seed, count))
    names = np.array(folder.names)
    by_person = [np.flatnonzero(folder.labels == label) for label in np.unique(folder.labels)]
    by_person.sort(key=lambda rows: str(names[rows[0]]))
    order = [by_person[i] for i in rng.permutation(len(by_person))]
    order.sort(key=lambda rows: len(rows) < 2)
    return [_fold(order[start::count], folder.labels, rng) for start in range(count)]


def _fold(people: list[NDArray[np.int64]], labels: Pairs, rng: np.random.Generator) -> PairFold:
    rows = np.empty(0, np.int64)
    for own in people:
        if len(rows) >= _IMAGES_PER_FOLD:
            break
        rows = np.append(rows, rng.permutation(own)[:_IMAGES_PER_PERSON])
    first, second = (rows[i] for i in np.triu_indices(len(rows), 1))
    same = labels[first] == labels[second]
    pairs = np.column_stack([first, second])
    return PairFold(pairs[same], pairs[~same])


def _pair_set(
    folder: ChipFolder, title: str, folds: list[PairFold], counts: tuple[int, int], seed: int
) -> PairSet:
    rng = np.random.default_rng((seed, len(folds), 1))
    parts = [
        pairs[rng.permutation(len(pairs))[:most]]
        for fold in folds
        for pairs, most in zip((fold.mated, fold.non_mated), counts, strict=True)
    ]
    chosen = np.concatenate(parts)
    rows, places = np.unique(chosen, return_inverse=True)
    first, second = places.reshape(chosen.shape).T
    people = np.unique(folder.labels[rows], return_inverse=True)[1]
    return PairSet(
        title,
        [folder.names[i] for i in rows],
        [folder.encoded[i] for i in rows],
        first,
        second,
        people[first] == people[second],
        people,
        len(folds),
    )
