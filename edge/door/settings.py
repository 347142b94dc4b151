"""What may change while the door is at work, and the thread that reads it: files and accounts may be slow, the loop is not."""

from __future__ import annotations

import os
import pwd
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.access.schedule import Schedule, build_schedule
from edge.audit.retention import Retention
from edge.config import TerminalConfig, load_config
from edge.door.timing import DoorTiming
from edge.errors import ConfigError, MfsaError


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """How the door behaves, and towards whom. Accounts are names by user number."""

    timing: DoorTiming
    schedule: Schedule = field(default_factory=Schedule)
    clients: Mapping[int, str] = field(
        default_factory=dict
    )  # beside the door's own: may ask it to open
    operators: Mapping[int, str] = field(
        default_factory=dict
    )  # beside root and the door's own: may command it
    unlock_unrecorded: bool = False  # whether people are let in while the disk takes no record
    retention: Retention = field(default_factory=Retention)
    unknown_accounts: tuple[
        str, ...
    ] = ()  # accounts that the configuration names and the machine has not, with their key

    def check_accounts(self) -> None:
        """Raises ConfigError where an account is not there."""
        if self.unknown_accounts:
            raise ConfigError(
                f"{', '.join(self.unknown_accounts)}: there is no such account on this machine; create it or take it out"
            )


def build_settings(config: TerminalConfig) -> DoorSettings:
    """Asks the machine for accounts, which may take its time. Those that are not there are left out: fewer may ask."""
    door = config.door
    clients, strange_clients = _uids(door.clients, "door.clients")
    operators, strange_operators = _uids(door.operators, "door.operators")
    rules = DoorTiming(
        door.pulse_s,
        door.extended_pulse_s,
        door.rex_pulse_s,
        door.held_open_s,
        door.relock,
        door.max_grant_unlock_s,
    )
    ours = {uid: _name(uid) for uid in (0, os.geteuid())}
    return DoorSettings(
        rules, build_schedule(door.schedule), clients, operators | ours, config.record.on_write_failure == "open",
        Retention(config.record.delete_after_days, config.record.redact_after_days), strange_clients + strange_operators,
    )  # fmt: skip


def _uids(names: tuple[str, ...], key: str) -> tuple[dict[int, str], tuple[str, ...]]:
    """Names by user number, and those of no account."""
    found, unknown = {}, []
    for name in names:
        try:
            found[pwd.getpwnam(name).pw_uid] = name
        except (
            KeyError,
            OSError,
            ValueError,
        ):  # not there, not to be asked, or no name that an account can have
            unknown.append(f"{key}: {name}")
    return found, tuple(unknown)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)


_READERS_MAX = 4


class ConfigReloader:
    """Reload of the configuration in a thread; of several requests only the last one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: queue.SimpleQueue[
            tuple[int, tuple[TerminalConfig, DoorSettings] | MfsaError]
        ] = queue.SimpleQueue()
        self._newest = 0
        self._started = 0  # newest request that a thread handles
        self._reading = 0  # running threads: a disk may hang

    def start(self) -> None:
        self._newest += 1
        if self._reading < _READERS_MAX:
            self._start_thread()

    def poll(self) -> tuple[TerminalConfig, DoorSettings] | None:
        """What the newest reading found, once; raises MfsaError where it cannot be used."""
        while True:
            try:
                number, found = self._read.get_nowait()
            except queue.Empty:
                return None
            self._reading -= 1
            if self._started < self._newest:
                self._start_thread()
            if number != self._newest:
                continue
            if isinstance(found, MfsaError):
                raise found
            return found

    def _start_thread(self) -> None:
        self._started = self._newest
        self._reading += 1
        threading.Thread(
            target=self._load, args=(self._newest,), name="configuration", daemon=True
        ).start()

    def _load(self, number: int) -> None:
        found: tuple[TerminalConfig, DoorSettings] | MfsaError
        try:
            config = load_config(self._path)
            settings = build_settings(config)
            settings.check_accounts()
            found = config, settings
        except MfsaError as error:
            found = error
        except Exception as error:  # whatever it is, somebody waits for an answer
            found = ConfigError(f"{self._path}: cannot be read: {error!r}")
        self._read.put((number, found))
