"""OSDP reader, with the terminal as its control panel."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from edge.config.osdp import OsdpReaderConfig
from edge.door.readers.events import (
    CARD_BITS_MAX,
    CardRead,
    Malformation,
    ReaderCondition,
    ReaderInput,
    ReadMalformed,
)
from edge.door.readers.feedback import ReaderFeedback
from edge.door.readers.keypad import CLEAR, ENTER, KeypadBuffer
from edge.door.readers.osdp_commands import feedback_commands, status_request
from edge.door.readers.osdp_key import OsdpKey, load_osdp_key
from edge.door.readers.osdp_library import Message, PanelContext, load_library
from edge.door.readers.serial_line import SerialLine
from edge.errors import DoorError

CONNECT_S = 4.0
SILENCE_S = 2.0
TURN_S = 0.02  # longest wait between two refreshes of libosdp
_KEYS = {0x0D: ENTER, 0x23: ENTER, 0x7F: CLEAR, 0x2A: CLEAR}  # carriage return, #, delete, *


class OsdpReader:
    """Cards, PINs and condition of a reader. `ReaderThread` reconnects it."""

    def __init__(self, config: OsdpReaderConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._keypad = KeypadBuffer(config.pin_timeout_s)
        self._feedback: deque[ReaderFeedback] = deque(maxlen=1)
        self._condition: ReaderCondition | None = None
        self._context: PanelContext | None = None
        self._key: OsdpKey | None = None
        self._line: SerialLine | None = None

    def open(self) -> None:
        """Connect and start a secure channel. Raises DoorError."""
        key = load_osdp_key(self._config.key_file)
        load_library()
        self._line = SerialLine(self._config.device, self._config.baud_rate)
        if self._context is None or key != self._key:
            self._key, self._context = key, PanelContext(self._config.address, key, self._clock)
        else:
            self._context.restart()
        self._context.channel.connect(self._line)
        self._keypad.clear()
        self._feedback.clear()
        self._connect(self._context)
        self._condition = None
        self._context.submit(status_request())

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        """Return what the reader reported. Raises DoorError if it is lost."""
        context, deadline = self._context, self._clock() + timeout_s
        assert context is not None, "not open"
        while True:
            self._turn(context, min(TURN_S, timeout_s))
            self._check(context)
            with contextlib.suppress(IndexError):
                for command in feedback_commands(self._feedback.pop()):
                    context.submit(command)
            inputs = [found for event in context.take() for found in self._translate(event)]
            if inputs or self._clock() >= deadline:
                return inputs

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def show(self, feedback: ReaderFeedback) -> None:
        """Show something to the person at the door. Callable from any thread."""
        self._feedback.append(feedback)

    def _connect(self, context: PanelContext) -> None:
        deadline = self._clock() + CONNECT_S
        while not context.is_secure():
            if context.has_failed() or self._clock() >= deadline:
                device = self._config.device
                if context.channel.heard_at is None:
                    raise DoorError(
                        f"{device}: no answer from address {self._config.address}; "
                        "check wiring, address and baud rate"
                    )
                raise DoorError(
                    f"{device}: the reader does not accept the secure channel; "
                    f"check the key in {self._config.key_file}"
                )
            self._turn(context, TURN_S)

    def _turn(self, context: PanelContext, wait_s: float) -> None:
        """Wait for bytes and let libosdp work. Raises DoorError if the line is lost."""
        assert self._line is not None, "not open"
        context.refresh()
        self._line.wait(wait_s)

    def _check(self, context: PanelContext) -> None:
        device, heard_at = self._config.device, context.channel.heard_at
        if heard_at is None or self._clock() - heard_at > SILENCE_S:
            raise DoorError(f"{device}: no answer for {SILENCE_S:g} s; check reader and cable")
        if not context.is_secure():
            raise DoorError(f"{device}: the secure channel ended; it is started again")

    def _translate(self, event: Message) -> Iterator[ReaderInput]:
        library = load_library()
        if event["event"] == library.EVENT_CARDREAD:
            yield card_of(event)
        elif event["event"] == library.EVENT_KEYPRESS:
            yield from self._keys(event["data"])
        elif event["event"] == library.EVENT_STATUS:
            yield from self._changed_condition(event)

    def _keys(self, data: bytes) -> Iterator[ReaderInput]:
        for value in data:
            key = _KEYS.get(value) or (chr(value) if 0x30 <= value <= 0x39 else None)
            if key is None:
                yield ReadMalformed(Malformation.SYNTAX)
            elif (found := self._keypad.press(key, self._clock())) is not None:
                yield found

    def _changed_condition(self, event: Message) -> Iterator[ReaderInput]:
        """Yield tamper and power states of a local status report if they changed."""
        report = event["report"]
        if event["type"] != load_library().STATUS_REPORT_LOCAL or len(report) < 2:
            return
        condition = ReaderCondition(tampered=report[0] != 0, power_failed=report[1] != 0)
        known = self._condition or ReaderCondition(tampered=False, power_failed=False)
        self._condition = condition
        if condition != known:
            yield condition


def card_of(event: Message) -> ReaderInput:
    """Return the card of libosdp's event; only formats of bits are accepted."""
    if "length" not in event:  # text, which the standard has deprecated
        return ReadMalformed(Malformation.SYNTAX)
    bits, data = event["length"], event["data"]
    if not 1 <= bits <= CARD_BITS_MAX or len(data) * 8 < bits:
        return ReadMalformed(Malformation.LENGTH)
    return CardRead(int.from_bytes(data, "big") >> (len(data) * 8 - bits), bits)
