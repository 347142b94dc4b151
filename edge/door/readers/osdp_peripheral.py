"""The terminal as an OSDP reader of an access control panel, which decides and opens the door."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge.config.osdp import OsdpPeripheralConfig
from edge.door.readers.events import CardRead
from edge.door.readers.osdp_commands import accepted_commands, card_event, color_named
from edge.door.readers.osdp_key import OsdpKey, load_osdp_key
from edge.door.readers.osdp_library import Message, PeripheralContext, load_library
from edge.door.readers.panel_events import (
    PanelAnswered,
    PanelInput,
    PanelLinkChanged,
    PanelMessage,
    PanelVerdict,
)
from edge.door.readers.serial_line import SerialLine

SILENCE_S = 2.0
TURN_S = 0.01  # longest wait between two refreshes of libosdp
_TEXT_MAX = 32
_CARD_AGE_MAX_S = 1.0  # an older card is not sent: its person may have left
_SET_TEMPORARY, _SET_PERMANENT = 2, 1  # control codes of a light


@dataclass(frozen=True, slots=True)
class ReportedCard:
    """Card for the panel, with the number and time of its report."""

    card: CardRead
    report: int
    at: float  # monotonic seconds


class OsdpPeripheral:
    """Reports cards to a panel and returns its verdicts. `ReaderThread` opens the line again.

    A panel that does not talk to the terminal is no error of the line: `PanelLinkChanged`
    reports it, and the terminal keeps listening.
    """

    def __init__(self, config: OsdpPeripheralConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._cards: deque[ReportedCard] = deque(maxlen=1)
        self._reports = 0
        self._sent_report = 0
        self._quiet_until = -math.inf
        self._answer_until: float | None = None
        self._is_connected = False
        self._resting_color: int | None = None
        self._context: PeripheralContext | None = None
        self._key: OsdpKey | None = None
        self._line: SerialLine | None = None

    def report(self, card: CardRead) -> int | None:
        """Report a card; None if the panel is not connected or decides about another card.

        After a missing answer the next card waits as long again: a late one must not count for it.
        """
        now = self._clock()
        is_busy = bool(self._cards) or self._answer_until is not None or now < self._quiet_until
        if is_busy or not self._is_connected:
            return None
        self._reports += 1
        self._cards.append(ReportedCard(card, self._reports, now))
        return self._reports

    def open(self) -> None:
        """Open the line. Raises DoorError."""
        key = load_osdp_key(self._config.key_file)
        load_library()
        self._line = SerialLine(self._config.device, self._config.baud_rate)
        if self._context is None or key != self._key:
            self._key = key
            self._context = PeripheralContext(
                self._config.address, key, self._clock, accepted_commands()
            )
        self._context.channel.connect(self._line)

    def poll(self, timeout_s: float) -> Sequence[PanelInput]:
        """Return what the panel sent. Raises DoorError if the line is lost."""
        assert self._context is not None, "not open"
        deadline = self._clock() + timeout_s
        while True:
            self._turn(self._context, min(TURN_S, timeout_s))
            inputs = list(self._update(self._context))
            if inputs or self._clock() >= deadline:
                return inputs

    def close(self) -> None:
        """Close the line; a card that waits is dropped."""
        self._is_connected = False
        self._cards.clear()
        self._answer_until = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _turn(self, context: PeripheralContext, wait_s: float) -> None:
        assert self._line is not None, "not open"
        context.refresh()
        self._line.wait(wait_s)

    def _update(self, context: PeripheralContext) -> Iterator[PanelInput]:
        now, commands = self._clock(), context.take()
        heard_at = context.channel.heard_at
        is_silent = heard_at is None or now - heard_at > SILENCE_S
        is_connected = context.is_secure() and not is_silent
        if is_connected != self._is_connected:
            self._is_connected = is_connected
            yield PanelLinkChanged(is_connected)
        for command in commands:
            yield from self._translate(command)
        if self._answer_until is not None and (not is_connected or now >= self._answer_until):
            context.drop_events()
            yield self._answer(PanelVerdict.NO_ANSWER)
            self._quiet_until = now + self._config.answer_s
        if self._cards:
            reported = self._cards[0]
            self._sent_report = reported.report
            if is_connected and now - reported.at <= _CARD_AGE_MAX_S:
                context.submit(card_event(reported.card))
                self._answer_until = now + self._config.answer_s
            else:
                yield self._answer(PanelVerdict.NO_ANSWER)
            self._cards.popleft()

    def _translate(self, command: Message) -> Iterator[PanelInput]:
        library = load_library()
        if command["command"] == library.CMD_TEXT:
            text = "".join(filter(str.isprintable, command["data"]))[:_TEXT_MAX].strip()
            if text:
                yield PanelMessage(text)
        elif command["command"] == library.CMD_LED:
            color = self._shown_color(command)
            if self._answer_until is not None:
                if color == color_named(self._config.granted_color):
                    yield self._answer(PanelVerdict.GRANTED)
                elif color == color_named(self._config.refused_color):
                    yield self._answer(PanelVerdict.REFUSED)

    def _shown_color(self, command: Message) -> int | None:
        """Return the color of a light that shows a decision, None if it shows the resting state.

        Panels repeat the permanent color at any time: only a change of it is a decision.
        """
        code, color = command["control_code"], int(command["on_color"])
        if command["temporary"]:
            return color if code == _SET_TEMPORARY else None
        previous, self._resting_color = self._resting_color, color
        is_change = code == _SET_PERMANENT and previous not in (None, color)
        return color if is_change else None

    def _answer(self, verdict: PanelVerdict) -> PanelAnswered:
        self._answer_until = None
        return PanelAnswered(verdict, self._sent_report)
