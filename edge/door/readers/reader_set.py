"""All readers of a door."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping

from edge.door.readers.card_panel import CardPanel
from edge.door.readers.events import CardRead, ReaderReport, ReaderState
from edge.door.readers.feedback import FeedbackReader, ReaderFeedback
from edge.door.readers.reader import Reader
from edge.door.readers.reader_thread import ReaderThread


class ReaderSet:
    """Readers and the panel by name. The door's loop selects on `fileno` and calls `take`."""

    def __init__(self, readers: Mapping[str, Reader], clock: Callable[[], float]) -> None:
        self._event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lights = {n: r for n, r in readers.items() if isinstance(r, FeedbackReader)}
        self._panel = next((r for r in readers.values() if isinstance(r, CardPanel)), None)
        self._threads = {
            name: ReaderThread(name, reader, clock, self._wake) for name, reader in readers.items()
        }

    def fileno(self) -> int:
        """Return a descriptor that is readable when `take` has something."""
        return self._event_fd

    def take(self) -> list[ReaderReport]:
        """Return the events since the last call, oldest first. Never blocks."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        reports = [report for thread in self._threads.values() for report in thread.take()]
        return sorted(reports, key=lambda report: report.at)

    def states(self) -> dict[str, tuple[ReaderState, str]]:
        """Return state and reason of each reader, for the status."""
        return {name: thread.status() for name, thread in self._threads.items()}

    def show(self, name: str, feedback: ReaderFeedback) -> None:
        """Show a decision on a reader; nothing happens on one without a light. Never waits."""
        if (reader := self._lights.get(name)) is not None:
            reader.show(feedback)

    def report_card(self, card: CardRead) -> int | None:
        """Report a card to the panel; return the number of the report, None if it takes none."""
        return None if self._panel is None else self._panel.report(card)

    def close(self) -> None:
        ended = [thread.close() for thread in self._threads.values()]
        if all(ended):
            os.close(self._event_fd)  # a thread that hangs may still write to it

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._event_fd, 1)
