"""The commands of docs/try-second-factors.md, run in one shell as a newcomer does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.audit.reader import read_log
from edge.config import TerminalConfig, load_config
from edge.door.client import DoorClient
from edge.errors import DoorError
from tests.processes import until

PAGE = Path(__file__).resolve().parents[1] / "docs" / "try-second-factors.md"
BLOCKS = re.findall(r"```(sh|yaml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = [text for kind, text in BLOCKS if kind == "sh"]
_END = "end of the block"


class Shell:
    """Bash that runs the blocks of the page one after the other."""

    def __init__(self, folder: Path) -> None:
        commands = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "-u"],
            cwd=folder,
            env={**os.environ, "PATH": commands, "PYTHONPATH": str(PAGE.parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, block: str) -> str:
        """Run a block and return its output."""
        assert self._bash.stdin is not None and self._bash.stdout is not None
        self._bash.stdin.write(f"{block}\necho {_END}\n")
        self._bash.stdin.flush()
        return "".join(iter(self._bash.stdout.readline, f"{_END}\n"))

    def close(self) -> None:
        """Kill the shell with its processes."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()


@pytest.fixture
def folder(tmp_path: Path, bundle_path: Path) -> Path:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "bundle").symlink_to(bundle_path)
    made = tmp_path / "factors"
    made.mkdir()
    (config,) = (text for kind, text in BLOCKS if kind == "yaml")
    (made / "terminal.yaml").write_text(config, encoding="utf-8")
    return made


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    made = Shell(folder)
    yield made
    made.close()


def _is_state(config: TerminalConfig, word: str) -> Callable[[], bool]:
    """Return a condition: the door process answers with this state."""

    def is_met() -> bool:
        with contextlib.closing(DoorClient(config.socket_path)) as client:
            try:
                return bool(client.status()["state"] == word)
            except DoorError:
                return False

    return is_met


def _has(config: TerminalConfig, event: str, reason: str, times: int = 1) -> Callable[[], bool]:
    """Return a condition: the door has recorded an event so many times."""

    def is_met() -> bool:
        records = read_log(config.door_record_path)
        found = [(record.get("event"), record.get("reason")) for record in records]
        return found.count((event, reason)) >= times

    return is_met


def test_page_commands_do_what_it_says(shell: Shell, folder: Path) -> None:
    blocks = iter(COMMANDS)
    shell.run(next(blocks))
    config = load_config(folder / "terminal.yaml")
    is_state, has = partial(_is_state, config), partial(_has, config)
    assert "Ada: 1 template stored (1 in total)" in shell.run(next(blocks))
    until(is_state("locked"), "the door process runs")
    assert shell.run(next(blocks)) == "Ada: saved\n"
    until(has("waiting", "missing-factor"), "the door asks for a card")
    shown = shell.run(next(blocks))
    assert "  mode: card-and-face\n" in shown and "1 person with 1 card and 1 PIN" in shown
    assert shell.run(next(blocks)).startswith("sent to entry; ")
    until(has("unlocked", "grant"), "opens by card and face")
    until(is_state("locked"), "the pulse ends")
    assert shell.run(next(blocks)) == "Ada: saved\n"
    shell.run(next(blocks))
    until(has("card-pin-refused", "wrong-pin"), "the wrong PIN is refused")
    shell.run(next(blocks))
    until(has("unlocked", "grant", times=2), "opens by PIN and face")
    assert re.search(r"card-pin-refused +wrong-pin", shell.run(next(blocks)))
    until(is_state("locked"), "the pulse ends")
    shell.run(next(blocks))
    until(has("unlocked", "grant", times=3), "opens by duress PIN and face")
    shown = shell.run(next(blocks))
    assert "ALARM: duress: a duress PIN was entered" in shown
    assert "\ndone\n" in shown and re.search(r"duress +pin +Ada", shown)
    shell.run(next(blocks))
    until(has("stopped", "locked"), "the door process ends")
    assert list(blocks) == []
    assert "duress" not in str(read_log(config.decisions_path))
