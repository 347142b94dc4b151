"""Strict reader of JSON: unique keys, finite numbers. Standard library only."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any


def read_json(text: str | bytes) -> Any:
    """Read JSON; raises ValueError, also for duplicate keys, NaN and Infinity."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate key {twice[:40]!r}")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"expected a number, found {text}")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"expected a number, found {text}")
    return number
