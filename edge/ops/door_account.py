"""Rights of the account that runs the door process, for checks by another account."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.config import TerminalConfig
from edge.config.lane import DEFAULT_DOOR
from edge.errors import DoorError
from edge.system.accounts import account_name, acting_as_owner
from edge.system.unit_rights import UnitRights, device_class, read_unit_rights


@dataclass(frozen=True, slots=True)
class DoorAccount:
    """The account that owns the state folder of the door, or that of this process."""

    name: str
    folder: Path
    groups: tuple[int, ...]
    unit: UnitRights | None  # None: the door is not run by systemd

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Use the account in a block if this process is root."""
        with acting_as_owner(self.folder, self.groups):
            yield

    def check_device(self, key: str, device: Path, missing: str, drop_in: str | None) -> None:
        """Check that the door may use a character device; call it in `acting`.

        `missing` is the remedy without it, `drop_in` the file that permits it to the unit. Raises
        DoorError.
        """
        try:
            found = device.stat()
        except OSError as error:
            raise DoorError(f"{key}: {device}: {error.strerror}; {missing}") from error
        if not stat.S_ISCHR(found.st_mode):
            raise DoorError(f"{key}: {device} is not a character device; {missing}")
        group = _group_name(found.st_gid)
        if self.unit is not None and not self.unit.allows(device):
            raise DoorError(
                f"{key}: {self.unit.unit} may not use {device} (char-{device_class(device)}); "
                f"{_install(drop_in) if drop_in else 'install its newest version'}"
            )
        if not os.access(device, os.R_OK | os.W_OK, effective_ids=True):
            remedy = f"run: sudo usermod -aG {group} {self.name}; then restart edge-door"
            raise DoorError(
                f"{key}: the account {self.name} may not use {device} (group {group}, mode "
                f"{stat.S_IMODE(found.st_mode):04o}); {_install(drop_in) if drop_in else remedy}"
            )


def find_door_account(config: TerminalConfig) -> DoorAccount:
    """Return the account of the door; its groups include those that systemd adds."""
    folder = config.door_state
    if os.geteuid() != 0 or not folder.exists():
        name = account_name(os.geteuid())
        return DoorAccount(name, folder, tuple(os.getgroups()), unit=None)
    unit = read_unit_rights(_unit(config.door.name))
    uid = folder.stat().st_uid
    name = account_name(uid)
    try:
        groups = set(os.getgrouplist(name, pwd.getpwuid(uid).pw_gid))
    except (KeyError, OverflowError):
        groups = {folder.stat().st_gid}
    for added in unit.groups if unit else ():
        with contextlib.suppress(KeyError):  # of a group that does not exist
            groups.add(grp.getgrnam(added).gr_gid)
    return DoorAccount(name, folder, tuple(groups), unit)


def _unit(door: str) -> str:
    return "edge-door.service" if door == DEFAULT_DOOR else f"edge-door@{door}.service"


def _install(drop_in: str) -> str:
    return f"install the drop-in {drop_in}, see docs/wiring.md"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
