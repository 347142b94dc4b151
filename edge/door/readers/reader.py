"""Interface of the adapters of readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge.door.readers.events import ReaderInput


class Reader(Protocol):
    """Adapter of one reader. `ReaderThread` calls it from one thread and reconnects."""

    def open(self) -> None:
        """Connect. Raises DoorError, whose text is shown as the reason."""

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        """Return what was read; wait at most `timeout_s` for it. Raises DoorError if lost."""

    def close(self) -> None:
        """Disconnect; also after a failed `open`, and twice. Never raises."""
