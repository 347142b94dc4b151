"""Cards that the terminal reports to an access control panel for a recognised person."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.config.panel import PanelFieldConfig, WiegandPanelConfig
from edge.door.readers.card_formats import (
    STANDARD_FORMATS,
    BitField,
    CardFormat,
    ParityRule,
    parse_card,
)
from edge.door.readers.events import CardRead

_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class PanelCardFormat:
    """Format of people who have a number only, with their facility code."""

    format: CardFormat
    facility: int

    def card(self, text: str) -> CardRead:
        """Return the card of a person: a number such as `3456`, or a card with its own format.

        Raises ValueError, which does not show the text.
        """
        if _NUMBER.fullmatch(text):
            return self.format.encode(self.facility, int(text))
        return parse_card(text)


def build_card_format(config: WiegandPanelConfig) -> CardFormat:
    """Return the format of the cards that are a number only."""
    if (custom := config.format) is None:
        return STANDARD_FORMATS[config.card_bits]
    return CardFormat(
        custom.bits,
        tuple((one.bit, ParityRule(int(one.mask, 16), one.odd)) for one in custom.parity),
        None if custom.facility is None else _build_field(custom.facility),
        _build_field(custom.number),
    )


def _build_field(config: PanelFieldConfig) -> BitField:
    return BitField(config.start, config.length)


def check_panel_card(text: str) -> str:
    """Return the text of a card as an operator writes it; raises ValueError without the text."""
    if not _NUMBER.fullmatch(text):
        parse_card(text)
    return text
