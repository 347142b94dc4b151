"""Commands of the package, as pyproject.toml names them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_INSTALLED = {"edge-demo"}  # for a checkout: a terminal has no use for it


def read_scripts() -> dict[str, tuple[str, str]]:
    """Return module and function by command."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.findall(r'^((?:edge|mfsa)-[a-z0-9-]+) = "([\w.]+):(\w+)"', project, re.MULTILINE)
    return {command: (module, function) for command, module, function in found}


def terminal_commands() -> set[str]:
    """Return the commands that a terminal has."""
    return {name for name in read_scripts() if name.startswith("edge-")} - NOT_INSTALLED
