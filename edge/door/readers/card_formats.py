"""Formats of card frames: length, fields and parity. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.door.readers.events import CardRead


@dataclass(frozen=True, slots=True)
class ParityRule:
    """Parity of the frame's bits in a mask. The mask contains the parity bit."""

    mask: int
    odd: bool

    def holds(self, data: int) -> bool:
        """Return True if the parity of a frame is right."""
        return bool((data & self.mask).bit_count() % 2) is self.odd


@dataclass(frozen=True, slots=True)
class BitField:
    """Range of bits; bit 0 is the first one on the wire."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class CardFormat:
    """Frame of `bits` bits with its parities, facility code (may be absent) and card number.

    `parities` are (position of the parity bit, parity), in the order in which they are computed.
    """

    bits: int
    parities: tuple[tuple[int, ParityRule], ...]
    facility: BitField | None
    number: BitField

    @property
    def parity_rules(self) -> tuple[ParityRule, ...]:
        return tuple(rule for _, rule in self.parities)

    def encode(self, facility: int, number: int) -> CardRead:
        """Return the frame of a card. Raises ValueError if a value does not fit."""
        data = self._place(self.number, number, "card number")
        if self.facility is not None:
            data |= self._place(self.facility, facility, "facility code")
        elif facility:
            raise ValueError("expected facility code 0: the format has none")
        for place, parity in self.parities:
            if not parity.holds(data):
                data |= bit_mask(self.bits, place, 1)
        return CardRead(data, self.bits)

    def _place(self, field: BitField, value: int, what: str) -> int:
        if value >> field.length:
            raise ValueError(f"expected a {what} of at most {(1 << field.length) - 1}")
        return value << (self.bits - field.start - field.length)


def bit_mask(bits: int, start: int, length: int) -> int:
    """Return the mask of a range of bits in a frame of `bits` bits."""
    return ((1 << length) - 1) << (bits - start - length)


def _standard(
    bits: int, even: int, odd_start: int, facility: BitField, number: BitField
) -> CardFormat:
    """Return a format with an even first and an odd last parity bit."""
    last = bits - 1
    return CardFormat(
        bits,
        (
            (0, ParityRule(bit_mask(bits, 0, even + 1), odd=False)),
            (last, ParityRule(bit_mask(bits, odd_start, bits - odd_start), odd=True)),
        ),
        facility,
        number,
    )


STANDARD_FORMATS = {
    26: _standard(26, 12, 13, BitField(1, 8), BitField(9, 16)),  # H10301
    34: _standard(34, 16, 17, BitField(1, 16), BitField(17, 16)),  # H10306
    37: _standard(37, 18, 18, BitField(1, 16), BitField(17, 19)),  # H10304
}
_CARD = re.compile(
    r"(26|34|37):([0-9]{1,6}):([0-9]{1,12})|([0-9]{4,32})|0x([0-9a-f]{1,64})/([1-9][0-9]{0,2})"
)


def parse_card(text: str) -> CardRead:
    """Read a card as an operator writes it; raises ValueError, which does not show the text.

    Forms: `26:12:3456` (length, facility code, number), `0001234567` (number of a keyboard
    reader) and `0x1f2e/16` (bits as on the wire, with parity, and their number).
    """
    if not (found := _CARD.fullmatch(text)):
        raise ValueError("expected a card such as 26:12:3456, 0001234567 or 0x1f2e/16")
    try:
        if found[1]:
            return STANDARD_FORMATS[int(found[1])].encode(int(found[2]), int(found[3]))
        if found[4]:
            return card_of_digits(found[4])
        return CardRead(int(found[5], 16), int(found[6]))
    except ValueError as error:
        raise ValueError(f"{error}, such as 26:12:3456 or 0x1f2e/16") from error


def card_of_digits(digits: str) -> CardRead:
    """Return the card of a decimal number: four bits for each digit, leading zeros count."""
    return CardRead(int(digits, 16), 4 * len(digits))
