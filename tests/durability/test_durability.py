"""A few rounds and images of each kind, and controls that must fail.

`make durability` runs thousands.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durability.controls import CONTROLS, Control
from tests.durability.cuts import check_replay, cut
from tests.durability.disk import Disk
from tests.durability.trace import Replay, Unsupported, read_trace, run_traced, tracing_obstacle
from tests.durability.victims import VICTIMS
from tests.memory import scratch
from tests.processes import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
TRIES = 10  # a busy machine may kill before or after what it aims at
_WHY = tracing_obstacle()
needs_strace = pytest.mark.skipif(_WHY is not None, reason=f"power cuts: {_WHY}")


@pytest.fixture(autouse=True)
def _logs_again() -> Iterator[None]:
    """Enable logging again, which `cut` disables."""
    yield
    logging.disable(logging.NOTSET)


def killed(name: str, rounds: int) -> dict[str, Any]:
    """Run the kills in another process: they fork, which a process with threads must not."""
    command = [sys.executable, "-m", "tests.durability.kills", name, str(rounds)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", [name for name in VICTIMS if name != "bulk enrollment"])
def test_kill_at_any_moment_loses_nothing(name: str) -> None:
    inside = 0
    for _ in range(TRIES):
        found = killed(name, 12)
        assert found["rounds"] == 12 and not found["bad"], found["examples"]
        inside += found["inside"]
        if inside >= 4:
            return
    pytest.fail("no kill hit an operation at work")


@pytest.mark.parametrize(
    "control", [s for s in CONTROLS if s.by_kill and s.rounds], ids=lambda s: s.name
)
def test_kill_detects_broken_control(control: Control) -> None:
    assert any(killed(control.name, control.rounds)["bad"] for _ in range(TRIES))


@needs_strace
@pytest.mark.parametrize("name", [name for name in VICTIMS if name != "bulk enrollment"])
def test_power_cut_at_any_moment_loses_nothing(name: str) -> None:
    with scratch() as memory:
        found = cut(VICTIMS[name], 60, 1, Path(memory))
    assert found.images >= 60 and found.unsynced > 10
    assert not found.bad, found.examples


@needs_strace
@pytest.mark.parametrize("control", CONTROLS, ids=lambda s: s.name)
def test_power_cut_detects_broken_control(control: Control) -> None:
    with scratch() as memory:
        assert cut(control, 40, 1, Path(memory), first=True).bad


@needs_strace
@pytest.mark.parametrize(
    "code",
    [
        "import mmap; f = open(p + 'x', 'wb+'); f.truncate(4096);"
        " mmap.mmap(f.fileno(), 4096)[:1] = b'x'",
        "os.truncate(p + 'a', 1)",
        "os.mkdir(p + 'd'); os.rename(p + 'a', p + 'd/a')",
        "os.symlink(p + 'a', p + 'b')",
    ],
)
def test_trace_unknown_write_is_refused(code: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "a").write_text("content")
    disk = Disk(state)
    run_traced(
        [sys.executable, "-c", f"import os; p = {str(state)!r} + '/'; {code}"], tmp_path / "trace"
    )
    with pytest.raises(Unsupported):
        list(Replay(disk, state, tmp_path / "output").steps(read_trace(tmp_path / "trace")))


@needs_strace
def test_replay_reproduces_the_files(tmp_path: Path) -> None:
    """The traced code uses all supported system calls, also in a child process."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "there").write_text("content")
    disk = Disk(state)
    code = f"""
import os, threading
os.chdir("/")
p = {str(state)!r} + "/"
f = os.open(p + "a", os.O_CREAT | os.O_RDWR)
os.write(f, b"12345"); os.lseek(f, 1, 0); os.write(f, b"x"); os.read(f, 2)
os.write(f, b"y"); os.pwrite(f, b"z", 9)
g = os.dup(f); os.close(f); os.writev(g, [b"one", b"two"]); os.ftruncate(g, 14)
os.posix_fallocate(g, 10, 10); os.fsync(g)
h = os.open(p + "there", os.O_WRONLY | os.O_APPEND); os.write(h, b"more"); os.fdatasync(h)
thread = threading.Thread(target=os.write, args=(h, b"thread")); thread.start(); thread.join()
if os.fork() == 0:
    os.write(h, b"child"); os._exit(0)
os.wait()
os.link(p + "a", p + "b"); os.rename(p + "b", p + "c"); os.mkdir(p + "d")
open(p + "d/e", "w").write("e"); open(p + "there", "w").write("again"); os.unlink(p + "a")
"""
    run_traced([sys.executable, "-c", code], tmp_path / "trace")
    list(Replay(disk, state, tmp_path / "output").steps(read_trace(tmp_path / "trace")))
    check_replay(disk, state)
    assert (state / "there").read_text() == "again" and (state / "c").stat().st_size == 20
