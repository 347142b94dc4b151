"""Fuzz target: a parser, inputs to start from, and the errors that it may raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[bytes], None]


class Finding(AssertionError):
    """Violated property, although no error was raised."""


@dataclass(frozen=True)
class Target:
    """`open` gets a folder of its own and a stack for what is to be closed.

    It gives what a fuzzer calls, which raises only for
    a finding.
    """

    name: str
    about: str
    open: Callable[[Path, ExitStack], Run]
    seeds: Callable[[], Sequence[bytes]]


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise Finding(what)
