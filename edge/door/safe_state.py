"""What a killed process left driven is put to rest, whatever has become of its configuration since."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edge.config import DOOR_LOCK, DOOR_WIRING, Terminal, load_config
from edge.door.hardware import Lines, lines_of, noted, put_to_rest
from edge.errors import ConfigError, PlaceError
from edge.system.lockfile import claim

log = logging.getLogger(__name__)


def rest(config_path: Path) -> None:
    """Drive the door's outputs to rest: those that its process noted, else those of the configuration.

    Raises ClaimError where a door process is at work, DoorError where a line cannot be reached, ConfigError where nothing tells
    which lines there are.
    """
    config: Terminal | None = None
    wrong: ConfigError | None = None
    try:
        config = load_config(config_path)
    except ConfigError as error:
        wrong = error
    folders = _folders(config)
    with contextlib.ExitStack() as steps:  # each one whatever the others do
        for place in folders:
            _claim(place, steps)
        lines: list[tuple[Lines, Path | None]] = [
            (found, folder)
            for folder in folders
            if (found := noted(folder / DOOR_WIRING)) is not None
        ]
        if not lines and config is not None:
            lines = [(lines_of(config.door), None)]
        if not lines and wrong is not None:
            raise wrong
        for each, folder in lines:
            steps.callback(put_to_rest, each, folder)


def _folders(config: Terminal | None) -> list[Path]:
    """Where a process may have left its note: systemd's word for it holds without a configuration."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    folders = [Path(runtime)] if runtime else []
    if config is not None:
        folders.append(config.socket_path.parent)
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _claim(folder: Path, steps: contextlib.ExitStack) -> None:
    try:
        steps.callback(os.close, claim(folder / DOOR_LOCK, "edge-door"))
    except (
        PlaceError
    ) as error:  # a lock that stays open is worse than one that two processes drive to rest
        log.warning("%s; going on without it", error)
