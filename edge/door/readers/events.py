"""Events of readers. The content of cards and PINs is never printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from edge.codes import Code
from edge.door.readers.panel_events import PanelInput

CARD_BITS_MAX = 256
PIN_DIGITS_MAX = 12


class Malformation(Code):
    """Why a read is no card and no PIN."""

    INCOMPLETE = "incomplete", "changes of lines or keys were lost; the machine is overloaded"
    LENGTH = "length", "a frame has a length that the reader's format does not have"
    PARITY = "parity", "a parity bit of a frame is wrong"
    BOTH_LINES = "both-lines", "both data lines changed at the same time"
    GLITCH = "glitch", "a pulse follows the previous one too fast"
    TIMING = "timing", "the pulses of a frame are irregular: one is missing, or there is one more"
    SYNTAX = "syntax", "the input has no valid form"


class ReaderState(Code):
    """State of a reader."""

    READY = "ready", "the reader works"
    DISCONNECTED = "disconnected", "the reader does not work; the door tries to connect again"
    FLOODING = "flooding", "the reader sends more than a person can; its input is dropped"


@dataclass(frozen=True, slots=True, repr=False)
class CardRead:
    """A card: the bits of its frame with parity, first bit highest, and their number.

    Decimal numbers of keyboard readers are binary coded decimals: four bits for each digit.
    """

    data: int
    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= CARD_BITS_MAX or self.data < 0 or self.data >> self.bits:
            raise ValueError(
                f"expected a card of 1 to {CARD_BITS_MAX} bits, and a value that fits them"
            )

    def __repr__(self) -> str:
        return "CardRead(hidden)"


@dataclass(frozen=True, slots=True, repr=False)
class PinEntered:
    """Digits that were entered at a keypad."""

    digits: str

    def __post_init__(self) -> None:
        if not (self.digits.isascii() and self.digits.isdigit()):
            raise ValueError("expected digits")
        if len(self.digits) > PIN_DIGITS_MAX:
            raise ValueError(f"expected at most {PIN_DIGITS_MAX} digits")

    def __repr__(self) -> str:
        return "PinEntered(hidden)"


@dataclass(frozen=True, slots=True)
class ReadMalformed:
    """A read that was dropped."""

    why: Malformation


@dataclass(frozen=True, slots=True)
class ReaderCondition:
    """Case and supply of a reader that reports them."""

    tampered: bool
    power_failed: bool


@dataclass(frozen=True, slots=True)
class ReaderLost:
    """The reader is disconnected, or does not answer."""

    why: str


@dataclass(frozen=True, slots=True)
class ReaderFound:
    """The reader works: it was connected, answers again, or no longer floods."""


@dataclass(frozen=True, slots=True)
class ReaderFlooding:
    """The reader sends too much; its input is dropped until it is quiet."""


ReaderInput: TypeAlias = CardRead | PinEntered | ReadMalformed | ReaderCondition | PanelInput
ReaderEvent: TypeAlias = ReaderInput | ReaderLost | ReaderFound | ReaderFlooding


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """Event of the reader with this name; `at` is monotonic seconds."""

    reader: str
    event: ReaderEvent
    at: float
