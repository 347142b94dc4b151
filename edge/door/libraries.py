"""Libraries of the door's hardware. Their adapters are imported for the kinds that need them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from edge.errors import DoorError
from edge.system.packages import install_command


@dataclass(frozen=True, slots=True)
class HardwareLibrary:
    """A library that a minimal installation does not have."""

    name: str
    module: str  # cannot be imported without the library
    package: str  # for pip

    def load(self, key: str) -> ModuleType:
        """Import the module. `key` of the configuration is for the message. Raises DoorError."""
        try:
            return importlib.import_module(self.module)
        except ImportError as error:
            raise DoorError(
                f"{key}: {self.name} cannot be loaded ({error}); install it with: "
                f"{install_command(self.package)}"
            ) from error


GPIOD = HardwareLibrary("gpiod", "edge.door.readers.gpio_edges", "mfsa-edge[readers]")
LIBOSDP = HardwareLibrary("libosdp", "osdp_sys", "mfsa-edge[readers]")
EVDEV = HardwareLibrary("evdev", "edge.door.readers.hid_reader", "mfsa-edge[hid]")
LGPIO_WAVE = HardwareLibrary("lgpio", "edge.door.readers.lgpio_wave", "lgpio")
LGPIO_LINES = HardwareLibrary("lgpio", "edge.door.lgpio_lines", "lgpio")
PIN_FACTORIES = {  # library and name of the factory in its module
    "jetson": (HardwareLibrary("lgpio", "edge.door.jetson", "lgpio"), "JetsonFactory"),
    "lgpio": (HardwareLibrary("lgpio", "gpiozero.pins.lgpio", "lgpio"), "LGPIOFactory"),
    "native": (HardwareLibrary("gpiozero", "gpiozero.pins.native", "gpiozero"), "NativeFactory"),
}
