"""Command with faults that appear with a file in a folder: `hooked FOLDER MODULE ARGUMENT...`.

clock   error of the wall clock in seconds
camera  its read blocks
engine  the embedder raises
disk    largest size of a file in bytes, for processes that start meanwhile
"""

from __future__ import annotations

import importlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import until


def main(folder: Path, module: str, arguments: list[str]) -> int:
    wall = time.time

    def wrong() -> float:
        try:
            return wall() + float((folder / "clock").read_text())
        except (OSError, ValueError):
            return wall()

    time.time = wrong  # before a module takes it as a default
    if (folder / "disk").exists() and "run" in arguments:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (int((folder / "disk").read_text()), resource.RLIM_INFINITY)
        )
    if module == "edge.cli.daemon":
        _hook_daemon(folder)
    return int(importlib.import_module(module).main(arguments))


def _hook_daemon(folder: Path) -> None:
    from edge.camera.replay import ReplayCamera
    from edge.errors import EngineError
    from edge.face.embed import Embedder

    def block() -> None:
        until(lambda: not (folder / "camera").exists(), "the fault ends", poll_s=0.01)

    def fail() -> None:
        if (folder / "engine").exists():
            raise EngineError("the engine failed, as requested")

    _before(ReplayCamera, "read", block)
    _before(Embedder, "embed", fail)


def _before(owner: type, name: str, hook: Callable[[], None]) -> None:
    method = getattr(owner, name)

    def hooked(self: Any, *arguments: Any) -> Any:
        hook()
        return method(self, *arguments)

    setattr(owner, name, hooked)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
