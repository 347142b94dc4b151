"""Events of an access control panel whose reader the terminal is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from edge.codes import Code


class PanelVerdict(Code):
    """Answer of the panel to a reported card."""

    GRANTED = "granted-by-panel", "the panel granted access"
    REFUSED = "refused-by-panel", "the panel refused access"
    NO_ANSWER = "no-answer-of-panel", "the panel did not answer in time"
    SENT = "sent-to-panel", "the card was sent; a panel of this kind gives no answer"


@dataclass(frozen=True, slots=True)
class PanelAnswered:
    """The panel decided about the card with this number of its report, or did not answer."""

    verdict: PanelVerdict
    report: int


@dataclass(frozen=True, slots=True)
class PanelMessage:
    """Text of the panel for the person at the door."""

    text: str


@dataclass(frozen=True, slots=True)
class PanelLinkChanged:
    """The panel started or ended the secure channel."""

    connected: bool


PanelInput: TypeAlias = PanelAnswered | PanelMessage | PanelLinkChanged
