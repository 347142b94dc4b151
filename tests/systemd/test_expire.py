"""Nightly erasure with the accounts and capabilities of its unit, and a real door process."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.audit.reader import read_log
from edge.config import TerminalConfig, load_config
from edge.door.client import DoorClient
from edge.door.credential_editor import edit_credentials
from edge.door.credentials_file import read_document
from edge.subject import SubjectRecord
from tests.bundles import EMBEDDING
from tests.doors import until
from tests.edge.cli.test_gallery import opened
from tests.lanes import LAB
from tests.processes import TIMEOUT_S, Process

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "edge-expire.service"
EDGE, DOOR = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")  # instead of mfsa-edge, mfsa-door

# The account that it becomes may have no access to the modules of a developer's machine.
COMMAND = """
import importlib, pkgutil, sys
import edge.gallery
from edge.cli import gallery
for module in pkgutil.iter_modules(edge.gallery.__path__, "edge.gallery."):
    importlib.import_module(module.name)
sys.exit(gallery.main(sys.argv[1:]))
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)
    return str(value)


def run_unit(config: Path) -> subprocess.CompletedProcess[str]:
    """Run the unit's command with its account, group of the door and capabilities."""
    assert (setting("User"), setting("SupplementaryGroups")) == ("root", "mfsa-door")
    kept = [
        f"+{one.lower().removeprefix('cap_')}" for one in setting("CapabilityBoundingSet").split()
    ]
    limits = ["--inh-caps=-all", f"--bounding-set={','.join(['-all', *kept])}", "--no-new-privs"]
    command = ["setpriv", "--reuid=0", "--regid=0", f"--groups={DOOR.pw_gid}", *limits]
    command += [sys.executable, "-c", COMMAND, "expire", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.fixture
def config_path(write_config: Callable[..., Path], bundle_path: Path) -> Iterator[Path]:
    """Terminal with the folders and modes of an installation, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part, mode, owner in (
            ("state", 0o700, EDGE), ("door", 0o750, DOOR), ("run", 0o750, DOOR),
        ):  # fmt: skip
            (folder / part).mkdir(mode=mode)
            os.chown(folder / part, owner.pw_uid, owner.pw_gid)
        (folder / "etc").mkdir(mode=0o700)
        shutil.copytree(bundle_path, folder / "bundle")
        subprocess.run(["chmod", "-R", "a+rX", folder / "bundle"], check=True)
        path = write_config(
            bundle=str(folder / "bundle"),
            state=str(folder / "state"),
            key=str(folder / "etc" / "gallery.key"),
            access=LAB,
            door={"state": str(folder / "door"), "socket": str(folder / "run" / "door.sock")},
        )
        yield Path(shutil.copy(path, folder / "terminal.yaml"))


def enroll(config: TerminalConfig, days: dict[str, SubjectRecord]) -> None:
    with closing(opened(config)) as store:
        for number, (name, record) in enumerate(days.items()):
            templates = np.eye(number + 1, EMBEDDING, dtype=np.float32)[number:]
            store.enroll(name, templates, record=record)
    for file in config.state.iterdir():
        os.chown(file, EDGE.pw_uid, EDGE.pw_gid)


def names_at_door(config: TerminalConfig) -> list[str]:
    people = read_document(config.people_path, config.people_key_path).people
    return [person.name for person in people]


def test_expired_person_leaves_the_door_too(config_path: Path, tmp_path: Path) -> None:
    config = load_config(config_path)
    over = SubjectRecord(erase_on=date(2020, 1, 1))
    enroll(config, {"Ada": over, "Eve": SubjectRecord()})
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        for name in ("Ada", "Eve", "Ben"):  # Ben has a card only
            editor.set_person(name, {"groups": ("staff",)})
    inside = {"is_inside": True, "wall_s": None}
    zones = {"version": 1, "people": {"lab": {"Ada": inside, "Eve": inside}}, "counts": {"lab": 2}}
    config.zones_path.write_text(json.dumps(zones))
    os.chown(config.zones_path, DOOR.pw_uid, DOOR.pw_gid)
    with ExitStack() as stack:
        log = tmp_path / "door.log"
        stack.enter_context(Process("edge.cli.door", "run", "--config", config_path, log=log))
        until(config.socket_path.exists)
        os.chown(config.socket_path, DOOR.pw_uid, DOOR.pw_gid)
        done = run_unit(config_path)
        assert done.returncode == 0, done.stderr
        with closing(DoorClient(config.socket_path)) as client:
            assert client.status()["access"]["people"]["people"] == 2
    assert "1 person erased" in done.stdout and "Ada" not in done.stdout + done.stderr
    assert names_at_door(config) == ["Eve", "Ben"]
    assert (config.people_path.stat().st_uid, config.gallery_path.stat().st_uid) == (
        DOOR.pw_uid, EDGE.pw_uid,
    )  # fmt: skip
    left = json.loads(config.zones_path.read_text())
    assert (list(left["people"]["lab"]), left["counts"]["lab"]) == (["Eve"], 1)
    found = [one for one in read_log(config.door_record_path) if one.get("target") == "Ada"]
    assert [one["reason"] for one in found] == ["change-people", "erase-person"]
    assert {one["note"] for one in found} == {"edge-gallery by root"}


def test_erasure_keeps_its_accounts_apart(config_path: Path) -> None:
    """Root without further capabilities can read neither gallery nor people."""
    config = load_config(config_path)
    enroll(config, {"Ada": SubjectRecord()})
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.set_person("Ada", {})
    limits = ["--inh-caps=-all", "--bounding-set=-all,+setuid,+setgid"]
    for path in (config.gallery_path, config.people_path):
        command = ["setpriv", f"--groups={DOOR.pw_gid}", *limits, "cat", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "Permission denied" in done.stderr
