"""Rights that change together with the gallery: before, during and after, and by which account."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from edge.cli.rights import change_rights
from edge.config import TerminalConfig, load_config
from edge.door.credentials_file import read_document
from edge.errors import ConfigError
from edge.subject import PersonRights
from tests.lanes import LaneDoor, lane_door, make_people
from tests.processes import TIMEOUT_S

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
    with change_rights(config, changes, "test") as done:
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
    with pytest.raises(ZeroDivisionError), change_rights(config, {"Ada": {"groups": ()}}, "test"):
        raise ZeroDivisionError
    assert people(config)["Ada"] == PersonRights(("staff",))
    wrong = {"Ada": {"valid_from": NEXT_DAY, "valid_until": DAY}}
    with (
        pytest.raises(ConfigError, match="before the first day"),
        change_rights(config, wrong, "test"),
    ):
        pytest.fail("the block must not run")
    assert people(config)["Ada"] == PersonRights(("staff",))


def test_change_waits_for_the_door(config: TerminalConfig, lane: LaneDoor) -> None:
    assert lane.face("Vic") == "not-in-group"
    with change_rights(config, {"Vic": {"groups": ("staff",)}}, "edge-enroll") as done:
        done.add("Vic")
    assert lane.face("Vic") is None  # no wait: the door has loaded the file
    (announced,) = lane.records("operator-command")
    assert (announced["reason"], announced["target"]) == ("change-people", "Vic")
    assert announced["note"].startswith("edge-enroll by ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its account")
def test_rights_change_after_root_is_given_up(write_config: Callable[..., Path]) -> None:
    """The gallery's owner can name whose change is done, and cannot write the file itself."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from edge.cli.rights import change_rights, check_may_change\n"
        "from edge.config import load_config\n"
        "from edge.errors import ConfigError\n"
        "from edge.gallery.key import become_owner\n"
        "config = load_config(Path(sys.argv[1]))\n"
        "changes = {'Ada': {'groups': ('staff',)}, 'Eve': {'groups': ('staff',)}}\n"
        "with change_rights(config, changes, 'test') as done:\n"
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
