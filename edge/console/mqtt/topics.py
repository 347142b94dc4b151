"""Topics of one terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")

ONLINE, OFFLINE = "online", "offline"  # payloads of the availability topics


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics below the prefix, and those of Home Assistant."""

    prefix: str
    terminal: str
    discovery_prefix: str | None

    @property
    def base(self) -> str:
        return f"{self.prefix}/{self.terminal}"

    @property
    def availability(self) -> str:
        """Availability of the terminal; its last will is `offline`."""
        return f"{self.base}/availability"

    @property
    def health(self) -> str:
        return f"{self.base}/health"

    def event(self, log: str) -> str:
        """Events of one audit log."""
        return f"{self.base}/event/{log}"

    def door_availability(self, door: str) -> str:
        return f"{self.base}/door/{door}/availability"

    def door_state(self, door: str) -> str:
        return f"{self.base}/door/{door}/state"

    def command(self, door: str) -> str:
        return f"{self.base}/door/{door}/command"

    def answer(self, door: str) -> str:
        """Answers to commands."""
        return f"{self.base}/door/{door}/answer"

    @property
    def birth(self) -> str:
        """Topic on which Home Assistant reports its start."""
        return f"{self.discovery_prefix}/status"

    def discovery(self, door: str) -> str:
        """Discovery message of the device of a door."""
        return f"{self.discovery_prefix}/device/{self.device_id(door)}/config"

    def device_id(self, door: str) -> str:
        """Id of the device of a door, from the characters that Home Assistant accepts."""
        return _NOT_IN_ID.sub("_", f"mfsa-edge-{self.terminal}-{door}")
