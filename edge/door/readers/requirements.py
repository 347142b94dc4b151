"""Library and device that each kind of reader and panel needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config.osdp import OsdpPeripheralConfig, OsdpReaderConfig
from edge.config.panel import PanelConfig
from edge.config.readers import HidReaderConfig, ReaderConfig, WiegandReaderConfig
from edge.door.libraries import EVDEV, GPIOD, LGPIO_WAVE, LIBOSDP, HardwareLibrary

_SERIAL = "check the cable and the adapter, see `ls -l /dev/serial/by-id`"
_HID = "plug the reader in, see `ls -l /dev/input/by-id`"
_CHIP = "see `gpioinfo` for the chips of this machine"


@dataclass(frozen=True, slots=True)
class ReaderRequirements:
    """What must exist before a reader or panel can be used."""

    library: HardwareLibrary
    device: Path
    missing: str  # remedy if there is no such device
    drop_in: str | None  # of systemd/drop-ins, gives the door's unit the device


def find_requirements(config: ReaderConfig | PanelConfig) -> ReaderRequirements | None:
    """Return what a reader or panel needs, None if it needs nothing."""
    if isinstance(config, OsdpReaderConfig | OsdpPeripheralConfig):
        return ReaderRequirements(LIBOSDP, config.device, _SERIAL, "osdp.conf")
    if isinstance(config, HidReaderConfig):
        return ReaderRequirements(EVDEV, Path(config.path), _HID, "usb-reader.conf")
    if isinstance(config, WiegandReaderConfig):
        return ReaderRequirements(GPIOD, config.chip, _CHIP, None)
    if config.kind == "wiegand":
        return ReaderRequirements(LGPIO_WAVE, config.chip, _CHIP, None)
    return None
