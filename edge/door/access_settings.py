"""Settings of the access rules at one door, and the files of the door process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.access.lockout import LockoutRule
from edge.access.rules.settings import AccessRules, build_access_rules
from edge.config import TerminalConfig
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Rules of the door's lanes, and where faces, cards and PINs belong."""

    rules: AccessRules
    camera_lane: str  # lane at which the recogniser sees faces
    reader_lanes: Mapping[str, str]  # lane by name of a reader
    lockout: LockoutRule
    has_contact: bool

    @property
    def door(self) -> str:
        """Name of the door: all lanes of one process lead through it."""
        return self.rules.lanes[self.camera_lane].door


@dataclass(frozen=True, slots=True)
class DoorPaths:
    """Files of the door process apart from its audit log."""

    socket: Path
    people: Path
    people_key: Path
    zones: Path
    lockouts: Path

    @classmethod
    def in_folder(cls, folder: Path) -> DoorPaths:
        """Return the usual names in one folder."""
        return cls(
            folder / "door.sock",
            folder / "people.json",
            folder / "people.key",
            folder / "zones.json",
            folder / "lockouts.json",
        )


def build_access_settings(access: AccessConfig, door: DoorConfig) -> AccessSettings:
    """Return the settings of a configuration."""
    rules = build_access_rules(access, door)
    lockout = access.lockout
    return AccessSettings(
        rules=rules,
        camera_lane=next(iter(rules.lanes)),
        reader_lanes={reader.name: reader.lane for reader in door.readers},
        lockout=LockoutRule(lockout.failures, lockout.window_s, lockout.lock_s, lockout.lock_max_s),
        has_contact=door.inputs.contact is not None,
    )


def build_paths(config: TerminalConfig) -> DoorPaths:
    """Return the files of a configuration."""
    return DoorPaths(
        config.socket_path,
        config.people_path,
        config.people_key_path,
        config.zones_path,
        config.lockouts_path,
    )
