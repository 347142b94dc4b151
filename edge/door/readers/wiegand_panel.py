"""The terminal as a Wiegand reader of an access control panel, which gives no answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.door.readers.events import CardRead
from edge.door.readers.panel_events import (
    PanelAnswered,
    PanelInput,
    PanelLinkChanged,
    PanelVerdict,
)
from edge.door.readers.wiegand_wave import WaveStep, WaveTiming, build_wave
from edge.errors import DoorError

_CARD_AGE_MAX_S = 1.0  # an older card is not sent: its person may have left
_BUSY_POLL_S = 0.01
_BUSY_MARGIN_S = 1.0


class WaveOutput(Protocol):
    """Open lines D0 and D1, idle. All methods raise DoorError."""

    def start(self, steps: Sequence[WaveStep]) -> None:
        """Start a waveform, which the library times; returns at once."""

    def is_busy(self) -> bool:
        """Return True while a waveform runs."""

    def close(self) -> None:
        """End a waveform, drive both lines idle and release them. Never raises."""


class WiegandPanel:
    """Sends cards; `PanelAnswered` with SENT follows when the last pulse is over.

    Any error drives both lines idle: `ReaderThread` closes the output and opens it again.
    """

    def __init__(
        self,
        open_output: Callable[[], WaveOutput],
        timing: WaveTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_output = open_output
        self._timing = timing
        self._clock = clock
        self._cards: deque[tuple[CardRead, int, float]] = deque(maxlen=1)
        self._has_card = threading.Event()
        self._reports = 0
        self._sending: tuple[int, float] | None = None  # report, time when it must be over
        self._output: WaveOutput | None = None
        self._is_new = False

    def report(self, card: CardRead) -> int | None:
        """Send a card; None if the lines are not ready or send another card."""
        if self._output is None or self._cards or self._sending is not None:
            return None
        self._reports += 1
        self._cards.append((card, self._reports, self._clock()))
        self._has_card.set()
        return self._reports

    def open(self) -> None:
        self.close()
        self._output = self._open_output()
        self._is_new = True

    def poll(self, timeout_s: float) -> Sequence[PanelInput]:
        """Send the card that waits, or wait for one. Raises DoorError if the lines fail."""
        assert self._output is not None, "not open"
        if self._is_new:
            self._is_new = False
            return (PanelLinkChanged(True),)
        if self._sending is not None:
            return self._follow(self._output)
        if not self._has_card.wait(timeout_s):
            return ()
        self._has_card.clear()
        return self._send(self._output)

    def close(self) -> None:
        output, self._output, self._sending = self._output, None, None
        self._cards.clear()
        if output is not None:
            output.close()

    def _send(self, output: WaveOutput) -> Sequence[PanelInput]:
        if not self._cards:
            return ()
        card, report, at = self._cards[0]
        now = self._clock()
        if now - at > _CARD_AGE_MAX_S:
            self._cards.popleft()
            return (PanelAnswered(PanelVerdict.NO_ANSWER, report),)
        output.start(build_wave(card, self._timing))
        self._sending = report, now + self._timing.wave_s(card.bits) + _BUSY_MARGIN_S
        self._cards.popleft()
        return ()

    def _follow(self, output: WaveOutput) -> Sequence[PanelInput]:
        assert self._sending is not None
        report, until = self._sending
        if not output.is_busy():
            self._sending = None
            return (PanelAnswered(PanelVerdict.SENT, report),)
        if self._clock() >= until:
            raise DoorError("the pulses of a card did not end in time; is the machine overloaded?")
        self._has_card.wait(_BUSY_POLL_S)  # the library times the pulses, not this loop
        return ()
