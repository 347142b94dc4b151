"""Verification pairs: lists in LFW's format with chips, and pickled `.bin` files."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.chips import chip_name, decode_chip, read_chips
from edge.errors import ConfigError


@dataclass(frozen=True, eq=False)
class PairSet:
    """Pairs in the order of the set, as rows of distinct pictures."""

    title: str
    names: list[str]  # <identity>/<image>, or a number if the set has no names
    encoded: list[bytes]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mated: NDArray[np.bool_]
    # Person of each picture; number of its pair if the set does not name people.
    people: NDArray[np.int64]
    folds: int = 10  # equal parts of the pairs, in their order

    def chip(self, i: int) -> NDArray[np.uint8]:
        return decode_chip(self.encoded[i], self.names[i])


def read_list(path: Path, chips: Path) -> PairSet:
    """Read a list of pairs, in LFW's format or as `drawn_pairs.write_pairs` writes it.

    LFW: a line `folds pairs`, then `name i j` for mated and `name i name j` for non-mated pairs.
    Else two names `<identity>/<image>` with a tab between them. Raises ConfigError if a line is
    neither, or a picture is not among the chips.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the list of pairs: {error}") from error
    folds = _declared_folds(lines[0]) if lines else None
    named = [
        tuple(map(chip_name, _named_pair(line, f"{path}:{number}")))
        for number, line in enumerate(lines, 1)
        if number > 1 or not (folds or all(part.isdigit() for part in line.split()))
    ]
    if not named:
        raise ConfigError(f"{path}: no pairs in it")
    rows: dict[str, int] = {}
    first, second = (
        np.array([rows.setdefault(pair[side], len(rows)) for pair in named]) for side in (0, 1)
    )
    found = dict(read_chips(chips))
    missing = [name for name in rows if name not in found]
    if missing:
        raise ConfigError(
            f"{chips}: {len(missing)} images of the pairs are missing, the first is {missing[0]}"
        )
    names = list(rows)
    numbers: dict[str, int] = {}
    people = np.array([numbers.setdefault(name.split("/")[0], len(numbers)) for name in names])
    return PairSet(
        path.name,
        names,
        [found[n] for n in names],
        first,
        second,
        people[first] == people[second],
        people,
        folds or 10,
    )


def _declared_folds(line: str) -> int | None:
    """Return the number in the first line `N folds`; None for another line."""
    parts = line.split()
    if len(parts) == 2 and parts[1] == "folds" and parts[0].isdigit():
        return max(2, min(int(parts[0]), 1000))
    return None


def _named_pair(line: str, where: str) -> tuple[str, str]:
    names = line.split("\t")
    if len(names) == 2 and all(name.count("/") == 1 for name in names):
        return names[0], names[1]
    parts = line.split()
    if len(parts) == 3:
        parts = [parts[0], parts[1], parts[0], parts[2]]
    if len(parts) != 4 or not (parts[1].isdecimal() and parts[3].isdecimal()):
        raise ConfigError(
            f"{where}: expected `name i j`, `name i name j` or two names of images with a tab, "
            f"found {line[:60]!r}"
        )
    one, other = (f"{p}/{p}_{int(i):04d}.jpg" for p, i in (parts[:2], parts[2:]))
    return one, other


class _PickledDtype:
    """Dtype of a pickled array: bytes or booleans only."""

    def __init__(self, code: Any, *_: Any) -> None:
        text = code.decode() if isinstance(code, bytes) else str(code)
        if text not in ("u1", "b1"):
            raise pickle.UnpicklingError(f"it holds an array of {text!r}, not of bytes or booleans")
        self.size = 1

    def __setstate__(self, _: Any) -> None: ...


def _raw(data: Any, shape: Any = None) -> bytes:
    """Return the bytes of an array; their number must match its shape."""
    raw = data.encode("latin1") if isinstance(data, str) else data
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    if not isinstance(raw, (bytes, bytearray)) or (shape is not None and len(raw) != count):
        raise pickle.UnpicklingError("it holds an array whose bytes do not fit its shape")
    return bytes(raw)


class _PickledArray:
    """Placeholder of a pickled numpy array; keeps its bytes."""

    def __init__(self, *_: Any) -> None:
        self.raw = b""

    def __setstate__(self, state: Any) -> None:
        _, shape, code, _, data = state
        if not isinstance(code, _PickledDtype):
            raise pickle.UnpicklingError("it holds an array without a dtype")
        self.raw = _raw(data, shape)


class _PickledArrayType:
    """Placeholder of the array type, which pickles name and must not call."""

    def __init__(self, *_: Any) -> None:
        raise pickle.UnpicklingError("it calls numpy.ndarray")


def _from_buffer(data: Any, code: _PickledDtype, shape: Any, _: Any) -> _PickledArray:
    array = _PickledArray()
    array.raw = _raw(data, shape)
    return array


# Callables of a verification set, none of numpy: a pickle may call them with any arguments.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _PickledArrayType,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): lambda text, encoding: _raw(text),
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _PickledArray
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer
    _ALLOWED[f"{_core}.multiarray", "scalar"] = lambda code, data: _raw(data, 1) != b"\0"


class _RestrictedUnpickler(pickle.Unpickler):
    """Unpickler of lists, tuples, bytes, booleans and arrays of them only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def read_bin(path: Path) -> PairSet:
    """Read a pickled `(pictures, same)`: 2 N encoded chips in pairs, and N booleans.

    Raises ConfigError for anything else.
    """
    try:
        pictures, same = _RestrictedUnpickler(
            io.BytesIO(path.read_bytes()), encoding="bytes"
        ).load()
        same = list(same.raw) if isinstance(same, _PickledArray) else list(same)
        encoded = [
            picture.raw if isinstance(picture, _PickledArray) else picture for picture in pictures
        ]
        found = f"{len(encoded):,} pictures for {len(same):,} booleans"
        plain = all(isinstance(e, bytes) for e in encoded) and all(s in (0, 1) for s in same)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the verification set: {error.strerror}") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise ConfigError(
            f"{path}: expected a pickled list of pictures and a list of booleans; refused: {error}"
        ) from error
    if not plain or len(encoded) != 2 * len(same) or not same:
        raise ConfigError(
            f"{path}: expected ([2 N encoded pictures], [N booleans]), found {found}"
            f"{'' if plain else ' of other types'}"
        )
    pair = np.arange(len(same))
    names = [f"{path.stem}/{i}" for i in range(len(encoded))]
    return PairSet(
        path.name, names, encoded, 2 * pair, 2 * pair + 1, np.array(same, bool), np.repeat(pair, 2)
    )
