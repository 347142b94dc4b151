"""Files of the door process apart from its audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.config import TerminalConfig


@dataclass(frozen=True, slots=True)
class DoorPaths:
    """Files of the door process apart from its audit log."""

    socket: Path
    people: Path
    people_key: Path
    zones: Path
    lockouts: Path
    zones_lock: Path
    states: Mapping[str, Path]  # published states of the interlocked doors, by name

    @classmethod
    def in_folder(cls, folder: Path) -> DoorPaths:
        """Return the usual names in one folder."""
        return cls(
            folder / "door.sock",
            folder / "people.json",
            folder / "people.key",
            folder / "zones.json",
            folder / "lockouts.json",
            folder / "zones.lock",
            {},
        )


def build_paths(config: TerminalConfig) -> DoorPaths:
    """Return the files of a configuration."""
    return DoorPaths(
        config.socket_path,
        config.people_path,
        config.people_key_path,
        config.zones_path,
        config.lockouts_path,
        config.zones_lock_path,
        config.door_states,
    )
