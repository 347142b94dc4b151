"""Starting the real commands as processes, and waiting for what they do."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

TIMEOUT_S = 600.0


def run(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def call(
    main: Callable[[list[str]], int], *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves the start of an interpreter."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:
            code = int(error.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


class Process:
    """Command that runs until it is stopped.

    It is killed at the end of its `with` block in every case.
    """

    def __init__(self, module: str, *arguments: str | Path, log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)], stderr=file, stdout=file
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.popen.terminate()
        return self.popen.wait(TIMEOUT_S)

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


def until(
    condition: Callable[[], bool], what: str, *, timeout_s: float = TIMEOUT_S, poll_s: float = 0.05
) -> None:
    """Wait for a condition. The only place in the tests that polls."""
    ends = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"did not happen in {timeout_s:.0f} s: {what}")
        time.sleep(poll_s)
