"""Checks of the pins, readers and files that the door process opens. They switch no output."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from edge.config import TerminalConfig
from edge.config.door import GpioInputConfig
from edge.config.lane import PANEL
from edge.config.osdp import OsdpPeripheralConfig, OsdpReaderConfig
from edge.config.panel import PanelConfig, WiegandPanelConfig
from edge.config.readers import ReaderConfig, WiegandReaderConfig
from edge.config.relay import FileRelayConfig, GpioRelayConfig
from edge.door.gpio_backend import check_pins
from edge.door.readers.osdp_key import load_osdp_key
from edge.door.readers.requirements import find_requirements
from edge.door.settings import build_settings, describe_unknown
from edge.errors import DoorError, LockFileError
from edge.ops.check_result import ERROR, OK, CheckResult
from edge.ops.door_account import DoorAccount, find_door_account
from edge.system.lockfile import is_locked

Check = Callable[[], object]


def check_readers(config: TerminalConfig) -> Iterator[CheckResult]:
    """Check library, device, key and lines of each reader and of the panel."""
    account, is_running = find_door_account(config), _is_running(config)
    named = [(one.name, f"door.readers.{one.name}", one) for one in config.door.readers]
    panel = config.door.panel
    for name, key, reader in [*named, *([(PANEL, "door.panel", panel)] if panel else [])]:
        with account.acting():
            problems = _find_reader_problems(key, reader, account, is_running=is_running)
        for problem in problems:
            yield CheckResult(ERROR, "readers", problem)
        if not problems:
            yield CheckResult(OK, "readers", f"{name}: {_describe(reader)}")


def check_outputs(config: TerminalConfig) -> Iterator[CheckResult]:
    """Check the pins and files of relays, signals and inputs."""
    account, door = find_door_account(config), config.door
    inputs = {f"door.inputs.{name}": line for name, line in door.inputs}
    pins: defaultdict[str, dict[str, int | str]] = defaultdict(dict)
    checks: list[Check] = []
    for key, line in {**door.outputs, **inputs}.items():
        if isinstance(line, GpioRelayConfig | GpioInputConfig) and line.factory != "mock":
            pins[line.factory][key] = line.pin
        elif isinstance(line, FileRelayConfig):
            checks.append(partial(_check_file, key, line))
    are_free = not _is_running(config)
    checks += [partial(check_pins, *each, are_free=are_free) for each in pins.items()]
    with account.acting():
        problems = _find_problems(checks)
    for problem in problems:
        yield CheckResult(ERROR, "pins", problem)
    if pins and not problems:
        found = ", ".join(str(pin) for named in pins.values() for pin in named.values())
        yield CheckResult(OK, "pins", f"this board has the pins {found}")


def check_accounts(config: TerminalConfig) -> Iterator[CheckResult]:
    """Check the accounts with rights to the door, and the files that its own account reads."""
    for unknown in build_settings(config).unknown_accounts:
        yield CheckResult(ERROR, "accounts", describe_unknown(unknown))
    account = find_door_account(config)
    rights = {config.door_state: os.R_OK | os.W_OK | os.X_OK}
    rights |= dict.fromkeys((config.people_path, config.people_key_path), os.R_OK)
    existing = [path for path in rights if path.exists()]
    with account.acting():
        refused = [p for p in existing if not os.access(p, rights[p], effective_ids=True)]
    for path in refused:
        words = f"{path}: the account {account.name}, which runs the door, may not use it"
        yield CheckResult(ERROR, "accounts", f"{words}; run: sudo chown {account.name} {path}")
    if existing and not refused:
        yield CheckResult(OK, "accounts", f"{account.name} runs the door and may use its files")


def _find_reader_problems(
    key: str, reader: ReaderConfig | PanelConfig, account: DoorAccount, *, is_running: bool
) -> list[str]:
    if (needs := find_requirements(reader)) is None:
        return []
    checks: list[Check] = [
        partial(needs.library.load, key),
        partial(account.check_device, key, needs.device, needs.missing, needs.drop_in),
    ]
    if isinstance(reader, OsdpReaderConfig | OsdpPeripheralConfig):
        checks.append(partial(load_osdp_key, reader.key_file))
    if problems := _find_problems(checks):
        return problems
    module = needs.library.load(key)
    if isinstance(reader, WiegandReaderConfig):
        lines = reader.d0, reader.d1
        check = partial(module.check_lines, str(reader.chip), lines, are_free=not is_running)
        return _find_problems([check])
    if isinstance(reader, WiegandPanelConfig) and not is_running:  # a line in use takes no waveform
        return _find_problems([partial(module.check_waves, reader.chip, (reader.d0, reader.d1))])
    return []


def _describe(reader: ReaderConfig | PanelConfig) -> str:
    if (needs := find_requirements(reader)) is None:
        return f"{reader.kind}, needs no device"
    key = ", key of the secure channel readable" if hasattr(reader, "key_file") else ""
    return f"{needs.library.name} and {needs.device} can be used{key}"


def _check_file(key: str, relay: FileRelayConfig) -> None:
    """Check that a relay's file can be written; raises DoorError."""
    place = relay.path if relay.path.exists() else relay.path.parent
    if not os.access(place, os.W_OK, effective_ids=True):
        raise DoorError(f"{key}: {relay.path} cannot be written; check the folder and its rights")


def _is_running(config: TerminalConfig) -> bool:
    """Return True if the door process runs, or if that is not known."""
    try:
        return is_locked(config.door_lock_path)
    except LockFileError:
        return True


def _find_problems(checks: Sequence[Check]) -> list[str]:
    problems = []
    for check in checks:
        try:
            check()
        except DoorError as error:
            problems.append(str(error))
    return problems
