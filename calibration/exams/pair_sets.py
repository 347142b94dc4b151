"""Pairs of chips to verify: LFW's lists beside chips, and the `.bin` files that face recognition trades its test sets in."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.chips import decode, read_chips
from edge.errors import ConfigError


@dataclass(frozen=True, eq=False)
class PairSet:
    """Pairs in the set's order, as rows of the distinct pictures they name."""

    title: str
    names: list[str]  # <identity>/<image>, or a number where the set tells no more
    encoded: list[bytes]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mated: NDArray[np.bool_]
    people: NDArray[np.int64]  # number of the person of each picture; of its pair where people are not named

    def chip(self, i: int) -> NDArray[np.uint8]:
        return decode(self.encoded[i], self.names[i])


def read_list(path: Path, chips: Path) -> PairSet:
    """LFW's format: a line `folds pairs`, then `name i j` for mated and `name i name j` for non-mated pairs.

    Raises ConfigError where a line is neither, or a picture is not among the chips.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the list of pairs: {error}") from error
    rows: dict[str, int] = {}
    first, second, mated = [], [], []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if number == 1 and all(p.isdigit() for p in parts):
            continue
        if len(parts) == 3:
            parts = [parts[0], parts[1], parts[0], parts[2]]
        if len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            raise ConfigError(f"{path}:{number}: expected `name i j` or `name i name j`, found {line[:60]!r}")
        for person, image, rows_of in ((parts[0], parts[1], first), (parts[2], parts[3], second)):
            rows_of.append(rows.setdefault(f"{person}/{person}_{int(image):04d}.jpg", len(rows)))
        mated.append(parts[0] == parts[2])
    if not mated:
        raise ConfigError(f"{path}: no pairs in it")
    found = dict(read_chips(chips))
    missing = [name for name in rows if name not in found]
    if missing:
        raise ConfigError(f"{chips}: {len(missing)} images of the pairs are missing, the first is {missing[0]}")
    names = list(rows)
    numbers: dict[str, int] = {}
    people = np.array([numbers.setdefault(name.split("/")[0], len(numbers)) for name in names])
    return PairSet(path.name, names, [found[n] for n in names], np.array(first), np.array(second), np.array(mated), people)


# All that a verification set needs; a pickle may otherwise call anything.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = lambda kind, shape, code: np.ndarray((0,), np.uint8)
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = lambda data, dtype, shape, order: np.frombuffer(data, dtype).reshape(shape)
    _ALLOWED[f"{_core}.multiarray", "scalar"] = lambda dtype, data: np.frombuffer(data, dtype)[0]


class _Plain(pickle.Unpickler):
    """Builds lists, tuples, bytes, booleans and numpy arrays of them, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def read_bin(path: Path) -> PairSet:
    """A pickled `(pictures, same)`: 2 N encoded chips in pairs, and N booleans. Raises ConfigError for anything else."""
    try:
        loaded = _Plain(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the verification set: {error.strerror}") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise ConfigError(f"{path}: expected a pickled list of pictures and a list of booleans; refused: {error}") from error
    shape = "expected ([2 N encoded pictures], [N booleans])"
    if not (isinstance(loaded, (tuple, list)) and len(loaded) == 2):
        raise ConfigError(f"{path}: {shape}, found {type(loaded).__name__}")
    pictures, same = loaded
    if not (isinstance(pictures, list) and isinstance(same, (list, tuple, np.ndarray)) and len(pictures) == 2 * len(same) > 0):
        raise ConfigError(f"{path}: {shape}, found {len(pictures):,} pictures for {len(same):,} booleans")
    encoded = [_as_bytes(picture, path) for picture in pictures]
    count = len(same)
    pair = np.arange(count)
    names = [f"{path.stem}/{i}" for i in range(2 * count)]
    return PairSet(path.name, names, encoded, 2 * pair, 2 * pair + 1, np.array([bool(s) for s in same]), np.repeat(pair, 2))


def _as_bytes(picture: Any, path: Path) -> bytes:
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8:
        return picture.tobytes()
    if isinstance(picture, bytes):
        return picture
    raise ConfigError(f"{path}: expected encoded pictures, found {type(picture).__name__}")
