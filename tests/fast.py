"""Pytest plugin of `make test-fast`: skips each test when it starts a process or loads a network.

No test has to be marked: the interpreter's audit events show what a test does. Left out as well:
tests of seconds that draw many random inputs or videos.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from edge.engine.ort import ort

_PROCESSES = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_LONG = {
    "crossings",
    "fuzz",
    "test_controller.py",
    "test_conventions.py",
    "test_liveness.py",
    "test_search.py",
}
_HEAVY = {"torch", "tensorrt_rtx"}


def skip_at(event: str, arguments: tuple[Any, ...]) -> None:
    """Skip the running test, or the module that is imported, at an audit event."""
    if event in _PROCESSES:
        pytest.skip("starts a process", allow_module_level=True)
    if event == "import" and str(arguments[0]).partition(".")[0] in _HEAVY:
        pytest.skip(f"imports {arguments[0]}", allow_module_level=True)


def _skip_network(*_: object, **__: object) -> None:
    pytest.skip("loads a network", allow_module_level=True)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.name in _LONG else None


def pytest_collection(session: pytest.Session) -> None:
    """Begin once pytest itself has started; with pytest-xdist, in its workers."""
    if session.config.getoption("numprocesses", None):
        return
    settings.register_profile("fast", settings.get_profile("any-machine"), max_examples=20)
    settings.load_profile("fast")
    ort.InferenceSession.__init__ = _skip_network
    sys.addaudithook(skip_at)
