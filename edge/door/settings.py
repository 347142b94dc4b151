"""Settings of the door that may change while it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from edge.access.schedule import Schedule, build_schedule
from edge.audit.retention import Retention
from edge.config import TerminalConfig
from edge.door.access_point import AccessPointSettings, build_access_point
from edge.door.timing import DoorTiming, build_timing
from edge.errors import ConfigError
from edge.system.accounts import (
    RECOGNISER_ACCOUNT,
    account_name,
    account_uid,
    list_login_accounts,
)

_CLIENTS, _OPERATORS = "door.clients", "door.operators"


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """Behaviour of the door, and the accounts with rights to it: names by user id."""

    terminal: str
    instance: str | None  # of the recogniser in the same file
    timing: DoorTiming
    schedule: Schedule
    access: AccessPointSettings
    clients: Mapping[int, str]  # may send grants; the door's own account may too
    operators: Mapping[int, str]  # may send commands; root and the door's own account may too
    unlock_unrecorded: bool  # True: grants unlock although the audit log cannot be written
    retention: Retention
    unknown_accounts: tuple[str, ...]  # "key: name" of configured accounts that do not exist

    def check_accounts(self) -> None:
        """Raise ConfigError if a configured account does not exist."""
        if self.unknown_accounts:
            raise ConfigError("; ".join(map(describe_unknown, self.unknown_accounts)))


def build_settings(config: TerminalConfig) -> DoorSettings:
    """Return the settings of a configuration. Looking up accounts may take time.

    Accounts that do not exist are left out of `clients` and `operators`.
    """
    door, record = config.door, config.record
    clients, unknown_clients = _look_up(door.clients, _CLIENTS)
    operators, unknown_operators = _look_up(door.operators, _OPERATORS)
    own = {uid: account_name(uid) for uid in (0, os.geteuid())}
    return DoorSettings(
        terminal=config.terminal,
        instance=config.instance,
        timing=build_timing(door),
        schedule=build_schedule(door.schedule),
        access=build_access_point(config.access, door),
        clients=clients,
        operators=operators | own,
        unlock_unrecorded=record.on_write_failure == "open",
        retention=Retention(record.delete_after_days, record.redact_after_days),
        unknown_accounts=unknown_clients + unknown_operators,
    )


def describe_unknown(account: str) -> str:
    """Return a message for an entry "key: name" of `unknown_accounts`, with the remedy."""
    found = list_login_accounts()
    if not account.startswith(_CLIENTS):
        remedy = "create it with `sudo useradd --groups mfsa-door NAME`"
    elif account_uid(RECOGNISER_ACCOUNT) is None:
        remedy = f"run systemd/install.sh, which creates {RECOGNISER_ACCOUNT} for edge-daemon"
    else:
        remedy = "write the account that runs edge-daemon"
        found.insert(0, RECOGNISER_ACCOUNT)
    here = f", or write an account of this machine: {', '.join(found)}" if found else ""
    return f"{account}: no such account on this machine; {remedy}{here}; or remove the name"


def _look_up(names: tuple[str, ...], key: str) -> tuple[dict[int, str], tuple[str, ...]]:
    """Return names by user id, and the unknown ones with their configuration key."""
    found = {name: account_uid(name) for name in names}
    known = {uid: name for name, uid in found.items() if uid is not None}
    return known, tuple(f"{key}: {name}" for name, uid in found.items() if uid is None)
