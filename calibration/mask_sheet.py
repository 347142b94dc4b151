"""Contact sheet of all drawings that the renderers make, for visual checks of the training data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration import occluders
from edge import masks
from edge.chip import SIZE

_LABEL = 130  # pixels for the name of a row


def draw_sheet(chips: list[NDArray[np.uint8]], columns: int, seed: int) -> NDArray[np.uint8]:
    """Draw a row for each mask family, occluder and frozen protocol; chips are used in turn."""
    rows = []
    for family in masks.FAMILIES:
        name = f"{family}, unseen" if family in masks.HELD_OUT else family
        rows.append(_row(name, chips, columns, partial(_draw_mask, family, seed)))
    for kind in occluders.KINDS:
        rows.append(_row(kind, chips, columns, partial(_draw_occluder, kind, seed)))
    rows.append(
        _row(masks.PROTOCOL, chips, columns, lambda chip, i: masks.draw_protocol(chip, str(i)))
    )
    rows.append(
        _row(
            occluders.PLACES_PROTOCOL,
            chips,
            columns,
            lambda chip, i: occluders.draw_in_place(chip, str(i)),
        )
    )
    return np.vstack(rows)


def _draw_mask(family: str, seed: int, chip: NDArray[np.uint8], column: int) -> tuple[Any, ...]:
    return masks.draw(chip, masks.random_style(_rng(seed, column), (family,)))


def _draw_occluder(kind: str, seed: int, chip: NDArray[np.uint8], column: int) -> tuple[Any, ...]:
    return occluders.draw(chip, kind, _rng(seed, column))


def _rng(seed: int, column: int) -> np.random.Generator:
    return np.random.default_rng((seed, column))


def _row(
    name: str,
    chips: list[NDArray[np.uint8]],
    columns: int,
    draw: Callable[[NDArray[np.uint8], int], tuple[Any, ...]],
) -> NDArray[np.uint8]:
    label = np.full((SIZE, _LABEL, 3), 255, np.uint8)
    cv2.putText(
        label, name, (4, SIZE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA
    )
    return np.hstack([label, *(draw(chips[i % len(chips)], i)[0] for i in range(columns))])
