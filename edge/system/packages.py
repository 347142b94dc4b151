"""Installation of packages into the environment of this program."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def install_command(requirement: str) -> str:
    """Return the command that installs a package, such as `mfsa-edge[readers]`, for this program.

    It names the environment: the one of a service is not that of the caller's shell.
    """
    environment = Path(sys.prefix)
    sudo = "sudo " if environment.exists() and environment.stat().st_uid == 0 else ""
    return f"{sudo}{environment / 'bin' / 'pip'} install {shlex.quote(requirement)}"
