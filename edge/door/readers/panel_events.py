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


@dataclass(frozen=True, slots=True)
class PanelAnswered:
    """The panel decided about the reported card, or did not answer."""

    verdict: PanelVerdict


@dataclass(frozen=True, slots=True)
class PanelMessage:
    """Text of the panel for the person at the door."""

    text: str


@dataclass(frozen=True, slots=True)
class PanelLinkChanged:
    """The panel started or ended the secure channel."""

    connected: bool


PanelInput: TypeAlias = PanelAnswered | PanelMessage | PanelLinkChanged
