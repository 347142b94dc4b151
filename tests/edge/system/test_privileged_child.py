from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from edge.errors import MfsaError
from edge.system.privileged_child import start_privileged_child


def test_work_runs_in_another_process(tmp_path: Path) -> None:
    def work(names: list[str]) -> None:
        (tmp_path / "done").write_text(f"{os.getpid()} {' '.join(names)}")

    with start_privileged_child(work) as asked:
        assert not (tmp_path / "done").exists()
        asked(["Ada", "Zo\u00eb"])
        pid, *names = (tmp_path / "done").read_text().split()
    assert names == ["Ada", "Zo\u00eb"] and int(pid) != os.getpid()


def test_work_without_request_is_not_run(tmp_path: Path) -> None:
    """A crash of the parent closes the connection as well."""
    with start_privileged_child(lambda names: (tmp_path / "done").touch()):
        pass
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("error", [MfsaError("the disk is full"), ValueError("the disk is full")])
def test_error_of_the_work_is_raised(error: Exception) -> None:
    def work(names: list[str]) -> None:
        raise error

    with start_privileged_child(work) as asked, pytest.raises(MfsaError, match="the disk is full"):
        asked([])


def test_work_of_a_killed_process_fails() -> None:
    with (
        start_privileged_child(lambda names: os.kill(os.getpid(), signal.SIGKILL)) as asked,
        pytest.raises(MfsaError, match="was ended before it was done"),
    ):
        asked(["Ada"])


def test_process_killed_before_work_fails(tmp_path: Path) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    before = set(children.read_text().split())
    with start_privileged_child(lambda names: (tmp_path / "done").touch()) as asked:
        (child,) = set(children.read_text().split()) - before
        os.kill(int(child), signal.SIGKILL)
        os.waitid(os.P_PID, int(child), os.WEXITED | os.WNOWAIT)
        with pytest.raises(MfsaError, match="was ended before it was done"):
            asked(["Ada"])
    assert not (tmp_path / "done").exists()
