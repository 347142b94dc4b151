"""Cards that the terminal reports to an access control panel for a recognised person."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.door.readers.card_formats import STANDARD_FORMATS, parse_card
from edge.door.readers.events import CardRead

_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class PanelCardFormat:
    """Format of people who have a number only: length of the frame and facility code."""

    bits: int
    facility: int

    def card(self, text: str) -> CardRead:
        """Return the card of a person: a number such as `3456`, or a card with its own format.

        Raises ValueError, which does not show the text.
        """
        if _NUMBER.fullmatch(text):
            return STANDARD_FORMATS[self.bits].encode(self.facility, int(text))
        return parse_card(text)


def check_panel_card(text: str) -> str:
    """Return the text of a card as an operator writes it; raises ValueError without the text."""
    if not _NUMBER.fullmatch(text):
        parse_card(text)
    return text
