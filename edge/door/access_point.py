"""Settings of the access point: the door with its lanes, readers and access control panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.access.lockout import LockoutRule
from edge.access.rules.codes import RuleRefusal
from edge.access.rules.settings import AccessRules, Lane, build_access_rules
from edge.codes import Code
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.config.osdp import OsdpPeripheralConfig
from edge.config.panel import PanelConfig
from edge.door.events import DoorRefusal
from edge.door.readers.card_formats import STANDARD_FORMATS
from edge.door.readers.panel_cards import PanelCardFormat, build_card_format

_SENT_S = 10.0  # longest frame: 256 bits at the longest interval, and its gap


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """Settings of requests to an access control panel, and of its grants."""

    card_format: PanelCardFormat
    switch_relay: bool  # True: a grant of the panel also energises the relay
    forward_cards: bool  # True: cards of unknown people are reported too
    answer_s: float


@dataclass(frozen=True, slots=True)
class AccessPointSettings:
    """Rules of the terminal, and the lanes, readers and inputs of one door."""

    rules: AccessRules
    door: str  # name of the door
    reader_lanes: Mapping[str, str]  # lane by name of a reader
    lockout: LockoutRule
    has_contact: bool
    panel: PanelSettings | None  # None: this terminal decides

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Lanes that lead through the door; the process decides for these only."""
        return self.rules.lanes_of(self.door)

    def find_refusal(self, lane: str) -> Code | None:
        """Return why a request at a lane is refused, None for a lane of this door."""
        if lane not in self.rules.lanes:
            return RuleRefusal.UNKNOWN_LANE
        return None if self.rules.lanes[lane].door == self.door else DoorRefusal.OTHER_DOOR


def build_access_point(access: AccessConfig, door: DoorConfig) -> AccessPointSettings:
    """Return the settings of a configuration."""
    lockout = access.lockout
    return AccessPointSettings(
        rules=build_access_rules(access, door),
        door=door.name,
        reader_lanes={reader.name: reader.lane for reader in door.readers},
        lockout=LockoutRule(lockout.failures, lockout.window_s, lockout.lock_s, lockout.lock_max_s),
        has_contact=door.inputs.contact is not None,
        panel=None if door.panel is None else _build_panel(door.panel),
    )


def _build_panel(panel: PanelConfig) -> PanelSettings:
    if isinstance(panel, OsdpPeripheralConfig):
        card_format, answer_s = STANDARD_FORMATS[panel.card_bits], panel.answer_s
    else:
        card_format, answer_s = build_card_format(panel), _SENT_S
    return PanelSettings(
        PanelCardFormat(card_format, panel.facility),
        panel.switch_relay,
        panel.forward_cards,
        answer_s,
    )
