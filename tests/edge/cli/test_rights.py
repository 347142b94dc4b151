"""Rights that change together with the gallery: before, during and after, and by which account."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from edge.config import TerminalConfig, load_config
from edge.door import protocol
from edge.door.credentials_file import file_version, read_document
from edge.errors import ConfigError, DoorError
from edge.people.author import ChangeAuthor
from edge.people.rights import await_door, change_rights
from edge.subject import PersonRights
from tests.lanes import LaneDoor, lane_door, make_people
from tests.processes import TIMEOUT_S

AUTHOR = ChangeAuthor("test by root", print)
DAY, NEXT_DAY = date(2031, 1, 1), date(2031, 1, 2)


@pytest.fixture
def config_path(write_config: Callable[..., Path], tmp_path: Path) -> Path:
    return write_config(state=str(tmp_path), door={"socket": str(tmp_path / "door.sock")})


@pytest.fixture
def config(config_path: Path) -> TerminalConfig:
    return load_config(config_path)


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[LaneDoor]:
    make_people(tmp_path, {"Vic": {"groups": ("guests",)}})
    with lane_door(tmp_path, {"lanes": [{"name": "main", "groups": ["staff"]}]}) as made:
        yield made


def people(config: TerminalConfig) -> dict[str, PersonRights]:
    found = read_document(config.people_path, config.people_key_path).people
    return {person.name: person.rights for person in found}


def test_rights_are_narrow_until_all_is_done(config: TerminalConfig, tmp_path: Path) -> None:
    """A crash within the block leaves the rights that are read there."""
    make_people(tmp_path, {"Ada": {"groups": ("staff", "day")}, "Ben": {"valid_until": DAY}})
    changes = {
        "Ada": {"groups": ("day", "vault"), "extended": True},
        "Ben": {"valid_until": None, "valid_from": NEXT_DAY},
        "Eve": {"groups": ("vault",), "valid_until": DAY},
        "Joe": {"groups": ("vault",)},
    }
    before = people(config)
    with change_rights(config, changes, AUTHOR) as done:
        during = people(config)
        done.update({"Ada", "Eve"})
    assert during == {
        "Ada": PersonRights(("day",)),
        "Ben": PersonRights((), date.min, date.min),
        "Eve": PersonRights(valid_until=DAY),
        "Joe": PersonRights(),
    }
    assert people(config) == {
        "Ada": PersonRights(("day", "vault"), extended=True),
        "Ben": before["Ben"],
        "Eve": PersonRights(("vault",), valid_until=DAY),
    }


def test_failed_work_restores_the_rights(config: TerminalConfig, tmp_path: Path) -> None:
    make_people(tmp_path, {"Ada": {"groups": ("staff",)}})
    with pytest.raises(ZeroDivisionError), change_rights(config, {"Ada": {"groups": ()}}, AUTHOR):
        raise ZeroDivisionError
    assert people(config)["Ada"] == PersonRights(("staff",))
    wrong = {"Ada": {"valid_from": NEXT_DAY, "valid_until": DAY}}
    with (
        pytest.raises(ConfigError, match="before the first day"),
        change_rights(config, wrong, AUTHOR),
    ):
        pytest.fail("the block must not run")
    assert people(config)["Ada"] == PersonRights(("staff",))


def test_change_waits_for_the_door(config: TerminalConfig, lane: LaneDoor) -> None:
    assert lane.face("Vic") == "not-in-group"
    with change_rights(config, {"Vic": {"groups": ("staff",)}}, AUTHOR) as done:
        done.add("Vic")
    assert lane.face("Vic") is None  # no wait: the door has loaded the file
    (announced,) = lane.records("operator-command")
    assert (announced["reason"], announced["target"]) == ("change-people", "Vic")
    assert announced["note"] == AUTHOR.reason


class SlowDoor:
    """Door of another lane that loads people late, or never."""

    def __init__(self, path: Path, config: TerminalConfig, loads_after: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._config, self._left = config, loads_after
        self.announced: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            with client:
                while packet := client.recv(protocol.PACKET_MAX):
                    client.send(self._answer(*protocol.decode(packet)))

    def _answer(self, kind: str, fields: Mapping[str, Any]) -> bytes:
        if kind == "command":
            self.announced.append(fields["argument"])
            return protocol.encode("done", {})
        self._left -= 1
        version = file_version(self._config.people_path) if self.has_loaded else ""
        return protocol.encode("status", {"access": {"people_version": version}})

    @property
    def has_loaded(self) -> bool:
        return self._left <= 0

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT_S)


@pytest.fixture
def open_lane(tmp_path: Path, config: TerminalConfig) -> Iterator[Callable[[str, int], SlowDoor]]:
    with ExitStack() as stack:

        def open_(place: str, loads_after: int) -> SlowDoor:
            door = SlowDoor(tmp_path / place / "door.sock", config, loads_after)
            stack.callback(door.close)
            return door

        yield open_


@pytest.mark.parametrize("place", ["lane2", "doors/lane2"])
def test_change_waits_for_the_other_doors(
    config: TerminalConfig, lane: LaneDoor, open_lane: Callable[[str, int], SlowDoor], place: str
) -> None:
    other = open_lane(place, 4)
    with change_rights(config, {"Vic": {"groups": ("staff",)}}, AUTHOR) as done:
        assert other.has_loaded and other.announced == ["Vic"]
        done.add("Vic")
    assert lane.face("Vic") is None


def test_change_door_without_answer_is_named(config: TerminalConfig, tmp_path: Path) -> None:
    """A door that is too busy to answer runs: it may admit people by their earlier rights."""
    path = tmp_path / "lane2" / "door.sock"
    path.parent.mkdir()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(DoorError, match=r"lane2/door\.sock: edge-door has not loaded"):
            await_door(config)
    await_door(config)  # not running: the socket of an ended process


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its account")
def test_rights_change_after_root_is_given_up(write_config: Callable[..., Path]) -> None:
    """The gallery's owner can name whose change is done, and cannot write the file itself."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from edge.people.rights import change_rights, check_may_change\n"
        "from edge.config import load_config\n"
        "from edge.errors import ConfigError\n"
        "from edge.gallery.key import become_owner\n"
        "from edge.people.author import ChangeAuthor\n"
        "config = load_config(Path(sys.argv[1]))\n"
        "changes = {'Ada': {'groups': ('staff',)}, 'Eve': {'groups': ('staff',)}}\n"
        "with change_rights(config, changes, ChangeAuthor('test', lambda _: None)) as done:\n"
        "    become_owner(config.state)\n"
        "    assert os.geteuid() != 0\n"
        "    done.update({'Ada', 'Mallory'})\n"
        "    try: check_may_change(config)\n"
        "    except ConfigError: print('refused')\n"
        "    try: config.people_path.open('a')\n"
        "    except PermissionError: print('denied')\n"
    )
    account = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # unlike the folders of pytest
        state, door = folder / "state", folder / "door"
        state.mkdir(mode=0o700)
        door.mkdir(mode=0o750)
        os.chown(state, account.pw_uid, account.pw_gid)
        path = write_config(state=str(state), door={"state": str(door)})
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["refused", "denied"]
        assert people(load_config(path)) == {"Ada": PersonRights(("staff",))}
        assert (door / "people.json").stat().st_uid == 0
