"""Choices read off a byte string, so that a fuzzer that mutates bytes mutates choices."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# Values that parsers like least, in the types of JSON and YAML.
STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    255,
    256,
    2**31,
    2**63,
    2**64,
    10**320,
    -(10**320),
    0.0,
    -0.0,
    0.5,
    1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    "",
    " ",
    ".",
    "..",
    "/",
    "../x",
    "a\0b",
    "a\nb",
    "\ud800",
    "é\u202e\u2028",
    "x" * 300,
    "9" * 5000,
    "1e999",
    "NaN",
    "2026-02-30",
    "2026-01-01",
    "24:00",
    "07:30",
    "mon-fri",
    "holiday",
    "Europe",
    "UTC",
    "rtsp://u:p@h/",
    [],
    {},
    [[]],
    [None],
    {"kind": "none"},
    {"kind": None},
    {"": ""},
)


class Source:
    """Reads from the front; what is not there reads as zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def number(self, below: int) -> int:
        """Return a number from 0, read from one to three bytes."""
        size = 1 if below <= 256 else 2 if below <= 65536 else 3
        found = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return found % below

    def choose(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def rest(self) -> bytes:
        found, self._at = self._data[self._at :], len(self._data)
        return found

    def text(self) -> str:
        """Return up to 32 characters, also surrogates."""
        size = self.number(33)
        found, self._at = self._data[self._at : self._at + size], self._at + size
        return found.decode("utf-8", "surrogateescape")

    def value(self) -> Any:
        """Return an unusual value, a text or a number."""
        kind = self.number(4)
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.number(1 << 24) - (1 << 16)
        return copy.deepcopy(self.choose(STRANGE))


def edited(tree: Any, source: Source) -> Any:
    """Return a copy of a JSON tree with one to four values changed, removed, doubled or moved."""
    tree = copy.deepcopy(tree)
    for _ in range(1 + source.number(4)):
        tree = _edit(tree, source)
    return tree


def _edit(tree: Any, source: Source) -> Any:
    if not isinstance(tree, (dict, list)) or not tree or source.number(16) == 0:
        return source.value()
    keys: Sequence[Any] = list(tree) if isinstance(tree, dict) else range(len(tree))
    key = source.choose(keys)
    act = source.number(8)
    if act < 4 and isinstance(tree[key], (dict, list)):
        tree[key] = _edit(tree[key], source)
    elif act < 5:
        tree[key] = source.value()
    elif act == 5:
        del tree[key]
    elif act == 6 and isinstance(tree, dict):
        tree[source.text() or "x"] = source.value()
    elif act == 6:
        tree.extend([copy.deepcopy(tree[key])] * (1 + source.number(40)))
    else:
        other = source.choose(keys)
        tree[key], tree[other] = tree[other], tree[key]
    return tree


def corrupted(content: bytes, source: Source) -> bytes:
    """A copy with one to eight bits flipped, spans overwritten, cut out or doubled."""
    found = bytearray(content)
    for _ in range(1 + source.number(8)):
        if not found:
            break
        at = source.number(len(found))
        act = source.number(5)
        if act == 0:
            found[at] ^= 1 << source.number(8)
        elif act == 1:
            found[at] = source.number(256)
        elif act == 2:
            new = source.text().encode("utf-8", "surrogateescape")
            found[at : at + len(new)] = new
        elif act == 3:
            del found[at : at + 1 + source.number(600)]
        else:
            found[at:at] = found[at : at + 1 + source.number(600)]
    return bytes(found)
