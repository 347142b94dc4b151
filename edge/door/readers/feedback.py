"""Light and sound by which a reader shows what the door decided."""

from __future__ import annotations

from enum import Enum
from typing import Protocol, runtime_checkable


class ReaderFeedback(Enum):
    """State of a request that a reader shows to the person at the door."""

    GRANTED = "granted"
    REFUSED = "refused"
    PIN_WANTED = "pin-wanted"


@runtime_checkable
class FeedbackReader(Protocol):
    """Reader with a light or a sound."""

    def show(self, feedback: ReaderFeedback) -> None:
        """Show the state of a request. Callable from any thread; never waits and never raises.

        Only the newest feedback counts; it is dropped if the reader is disconnected.
        """
