"""Which code made a file."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def code_version() -> str:
    """The package's version and, in a checkout, the commit, with `-dirty` where files were changed since."""
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
