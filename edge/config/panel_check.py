"""Rules that an access control panel excludes."""

from __future__ import annotations

from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.config.lane import PANEL
from edge.errors import ConfigError


def check_panel(access: AccessConfig, door: DoorConfig) -> None:
    """Check that nothing needs a lock that the panel owns; raises ConfigError."""
    if door.panel is None:
        return
    if any(reader.name == PANEL for reader in door.readers):
        raise ConfigError(
            f"door.readers: with `door.panel` the name {PANEL} is taken; write another name"
        )
    if door.panel.switch_relay:
        return
    excluded = {
        "door.inputs.contact": door.inputs.contact is not None,
        "door.inputs.passage": door.inputs.passage is not None,
        "access.zones": bool(access.zones),
        "access.interlock": access.interlock,
        "access.interlock_doors": door.name in access.interlock_doors,
        "access.first_person": bool(access.first_person),
    }
    if found := [key for key, is_set in excluded.items() if is_set]:
        remedy = ", or set `door.panel.switch_relay: true`" if door.panel.kind == "osdp" else ""
        raise ConfigError(
            f"door.panel: the panel owns the lock, so this terminal cannot follow openings and "
            f"passages: remove {', '.join(found)}{remedy}"
        )
