"""Safe state: de-energise outputs that a killed process left energised."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edge.config import DOOR_LOCK, DOOR_OUTPUTS, TerminalConfig, load_config
from edge.door.hardware import DoorOutputs, configured_outputs, deenergise_outputs, load_outputs
from edge.errors import ConfigError, LockFileError
from edge.system.lockfile import acquire_lock

log = logging.getLogger(__name__)


def force_safe_state(config_path: Path) -> None:
    """De-energise the outputs that the door process saved, else the configured ones.

    Raises AlreadyRunningError if a door process runs, DoorError if an output cannot be reached,
    ConfigError if no source names the outputs.
    """
    config: TerminalConfig | None = None
    config_error: ConfigError | None = None
    try:
        config = load_config(config_path)
    except ConfigError as error:
        config_error = error
    folders = _runtime_folders(config)
    with contextlib.ExitStack() as steps:  # each even if another fails
        for folder in folders:
            _acquire_lock(folder, steps)
        outputs: list[tuple[DoorOutputs, Path | None]] = [
            (found, folder)
            for folder in folders
            if (found := load_outputs(folder / DOOR_OUTPUTS)) is not None
        ]
        if not outputs and config is not None:
            outputs = [(configured_outputs(config.door), None)]
        if not outputs and config_error is not None:
            raise config_error
        for each, saved_in in outputs:
            steps.callback(deenergise_outputs, each, saved_in)


def _runtime_folders(config: TerminalConfig | None) -> list[Path]:
    """Return folders that may hold the saved outputs; systemd names one without configuration.

    Of two folders the longer one is that of this door, below the one that all doors share.
    """
    runtime = max(os.environ.get("RUNTIME_DIRECTORY", "").split(":"), key=len)
    folders = [Path(runtime)] if runtime else []
    if config is not None:
        folders.append(config.socket_path.parent)
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _acquire_lock(folder: Path, steps: contextlib.ExitStack) -> None:
    try:
        steps.callback(os.close, acquire_lock(folder / DOOR_LOCK, "edge-door", "door.name"))
    except LockFileError as error:  # an unlocked door is worse than two processes at its outputs
        log.warning("%s; continuing without the lock", error)
