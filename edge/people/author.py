"""Author of a change of people: program, reason for the audit log, and user of the console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChangeAuthor:
    """Author of a change, as the audit log of the door records it."""

    reason: str
    warn: Callable[[str], None]  # receives failures that the operator must know
    user: str = ""  # of the console
