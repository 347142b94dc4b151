"""`edge-door check`: check configuration files, alone and together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edge.cli import common
from edge.config import TerminalConfig, load_config_files
from edge.config.terminal_check import find_conflicts
from edge.door.access_check import check_access
from edge.door.jetson_modules import header_lines
from edge.door.settings import build_settings
from edge.errors import ConfigError
from edge.validation_messages import format_problems


def check(args: argparse.Namespace) -> int:
    """Print warnings of each file; raises ConfigError for what contradicts."""
    configs = load_terminal(args.config)
    for name, (config, _) in configs.items():
        build_settings(config).check_accounts()
        for finding in check_access(config):
            if not finding.is_ok:
                print(f"warning: {_prefix(configs, name)}{finding.message}")
    if conflicts := find_file_conflicts(configs):
        raise ConfigError(format_problems(conflicts))
    files = dict.fromkeys(str(file) for _, files in configs.values() for file in files)
    print(f"the configuration is valid: {', '.join(files)}")
    return common.DONE


LoadedFiles = dict[str, tuple[TerminalConfig, tuple[Path, ...]]]


def load_terminal(paths: Sequence[Path]) -> LoadedFiles:
    """Return configs and files that were read by short names of the requested files.

    Raises ConfigError.
    """
    unique = len({path.name for path in paths}) == len(paths)
    return {path.name if unique else str(path): load_config_files(path) for path in paths}


def find_file_conflicts(files: LoadedFiles) -> list[str]:
    """Return what contradicts in the files of this terminal."""
    return find_conflicts({name: config for name, (config, _) in files.items()}, header_lines())


def _prefix(configs: LoadedFiles, name: str) -> str:
    return f"{name}: " if len(configs) > 1 else ""
