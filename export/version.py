"""Version of the code that makes a file."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def code_version() -> str:
    """Return the package version and, in a checkout, the commit, `-dirty` with changed files."""
    try:
        release = version("mfsa-edge")
    except PackageNotFoundError:
        release = "unknown"
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        return release
    command = [
        "git",
        "-C",
        str(checkout),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--match=no-tag",
    ]
    try:
        commit = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return release
    return f"{release}+{commit}"
