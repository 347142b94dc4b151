"""Search for the numbers of a template in every form that a program may keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

_PIECE = 24  # bytes: no two templates share so many by chance


def forms(template: np.ndarray) -> dict[str, list[bytes]]:
    """Return pieces of a template (D,) of unit norm as float32, float16 and int8.

    Usual scales of int8: 127 for a length of one, and 127 for the largest value.
    """
    largest = float(np.abs(template).max())
    scaled = {"int8": (127.0, 127.0 / largest)}
    kinds = {
        "float32": [template.astype("<f4").tobytes()],
        "float16": [template.astype("<f2").tobytes()],
    }
    kinds["int8"] = [
        turn(template * scale).astype(np.int8).tobytes()
        for scale in scaled["int8"]
        for turn in (np.rint, np.trunc)
    ]
    return {
        kind: [blob[at : at + _PIECE] for blob in blobs for at in (0, len(blob) // 2)]
        for kind, blobs in kinds.items()
    }


def found(files: Iterable[Path], template: np.ndarray) -> dict[str, bool]:
    """Return by form if it is in one of the files."""
    contents = [path.read_bytes() for path in files if path.is_file()]
    return {
        kind: any(piece in content for content in contents for piece in pieces)
        for kind, pieces in forms(template).items()
    }


def table(rows: Mapping[str, Mapping[str, bool]]) -> str:
    """Return the table as Markdown."""
    kinds = ("float32", "float16", "int8")
    lines = [f"| where | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    lines += [
        f"| {where} | {' | '.join('found' if hits[kind] else 'none' for kind in kinds)} |"
        for where, hits in rows.items()
    ]
    return "\n".join(lines)
