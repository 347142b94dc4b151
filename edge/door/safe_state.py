"""What a killed process left driven is put to rest, whatever has become of its configuration since."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edge.config import DOOR_LOCK, DOOR_WIRING, TerminalConfig, load_config
from edge.door.hardware import DoorOutputs, configured_outputs, deenergise_outputs, load_outputs
from edge.errors import ConfigError, LockFileError
from edge.system.lockfile import acquire_lock

log = logging.getLogger(__name__)


def force_safe_state(config_path: Path) -> None:
    """Drive the door's outputs to the safe state: those that the process noted, else the configured.

    Raises AlreadyRunningError if a door process runs, DoorError if an output cannot be reached,
    ConfigError if no source names the outputs.
    """
    config: TerminalConfig | None = None
    wrong: ConfigError | None = None
    try:
        config = load_config(config_path)
    except ConfigError as error:
        wrong = error
    folders = _folders(config)
    with contextlib.ExitStack() as steps:  # each one whatever the others do
        for place in folders:
            _claim(place, steps)
        lines: list[tuple[DoorOutputs, Path | None]] = [
            (found, folder)
            for folder in folders
            if (found := load_outputs(folder / DOOR_WIRING)) is not None
        ]
        if not lines and config is not None:
            lines = [(configured_outputs(config.door), None)]
        if not lines and wrong is not None:
            raise wrong
        for each, folder in lines:
            steps.callback(deenergise_outputs, each, folder)


def _folders(config: TerminalConfig | None) -> list[Path]:
    """Where a process may have left its note: systemd's word for it holds without a configuration."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    folders = [Path(runtime)] if runtime else []
    if config is not None:
        folders.append(config.socket_path.parent)
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _claim(folder: Path, steps: contextlib.ExitStack) -> None:
    try:
        steps.callback(os.close, acquire_lock(folder / DOOR_LOCK, "edge-door"))
    except (
        LockFileError
    ) as error:  # a lock that stays open is worse than one that two processes drive to rest
        log.warning("%s; going on without it", error)
