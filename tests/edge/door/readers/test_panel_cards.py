"""Cards of people for a panel."""

from __future__ import annotations

import pytest

from edge.door.readers.card_formats import STANDARD_FORMATS
from edge.door.readers.events import CardRead
from edge.door.readers.panel_cards import PanelCardFormat


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("1", CardRead(0b0_00000011_0000000000000001_0, 26)),
        ("34:3:1", CardRead(0b0_0000000000000011_0000000000000001_0, 34)),
        ("0x1f2e/16", CardRead(0x1F2E, 16)),
    ],
)
def test_panel_card_has_own_or_fixed_format(text: str, card: CardRead) -> None:
    found = PanelCardFormat(STANDARD_FORMATS[26], facility=3).card(text)
    assert (bin(found.data), found.bits) == (bin(card.data), card.bits)


@pytest.mark.parametrize("text", ["65536", "no card", "", "26:999:1"])
def test_panel_card_error_hides_the_card(text: str) -> None:
    with pytest.raises(ValueError, match="expected") as found:
        PanelCardFormat(STANDARD_FORMATS[26], facility=3).card(text)
    assert not text or text not in str(found.value)
