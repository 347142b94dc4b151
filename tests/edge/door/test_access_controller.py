"""Saves of the zones while a grant is on its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.access.rules.content import ZoneContent
from edge.access.rules.values import Allowed, DoorStatus, Factor, RulePerson
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.door.access_controller import AccessController
from edge.door.access_point import build_access_point
from edge.door.state_file import PendingSave
from edge.door.zone_file import PendingRead
from edge.door.zone_lock import ZoneLock
from edge.system.wallclock import ClockTrust, WallClock

ZONE = {
    "lanes": [
        {"name": "in", "zone": "lab", "direction": "in"},
        {"name": "out", "zone": "lab", "direction": "out"},
    ],
    "zones": [{"name": "lab", "anti_passback": "soft"}],
}


class Disk:
    """File of the zones in memory; a test ends each save."""

    def __init__(self) -> None:
        self.states: list[ZoneContent] = []
        self.saves: list[PendingSave] = []

    def read(self) -> PendingRead:
        """Return a read that finds no newer file."""
        read = PendingRead()
        read.is_missing = not self.states
        read.done.set()
        return read

    def submit(self, content: ZoneContent) -> PendingSave:
        self.states.append(content)
        self.saves.append(PendingSave())
        return self.saves[-1]

    def end_last(self, error: str = "") -> None:
        self.saves[-1].end(error)

    def close(self) -> None: ...

    @property
    def people(self) -> set[str]:
        """People of the state that was submitted last."""
        return set(self.states[-1].people.get("lab", {}))


class Setup:
    def __init__(self, folder: Path) -> None:
        self.now, self.disk = 100.0, Disk()
        self.lock = ZoneLock(folder / "zones.lock", lambda: self.now)
        settings = build_access_point(AccessConfig.model_validate(ZONE), DoorConfig())
        door = DoorStatus(is_unlocked=False, is_open=False)
        self.access = AccessController(
            settings,
            self.disk,  # type: ignore[arg-type]
            self.lock,
            lambda: self.now,
            WallClock(ClockTrust(), lambda: 1.8e9),
            lambda: {settings.door: door},
        )

    def ask(self, name: str) -> Allowed:
        while not self.access.begin_request():
            self.access.wait(1.0)
        allowed = self.access.present("in", Factor.FACE, RulePerson(name))
        assert isinstance(allowed, Allowed)
        return allowed


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    yield made
    made.lock.close()


def test_repeated_save_waits_for_the_grant(setup: Setup) -> None:
    access, disk = setup.access, setup.disk
    ada = setup.ask("Ada")
    access.begin_grant(ada)
    disk.end_last("full")
    access.run_maintenance()
    access.end_grant(ada)
    access.end_request()
    ben = setup.ask("Ben")
    access.begin_grant(ben)
    assert disk.people == {"Ada", "Ben"}
    setup.now += 5.0
    access.run_maintenance()  # a repeated save is due, and would lack this grant
    assert disk.people == {"Ada", "Ben"}
    access.end_grant(ben)
    access.run_maintenance()
    assert disk.people == {"Ada", "Ben"}


def test_grant_is_saved_once(setup: Setup) -> None:
    ada = setup.ask("Ada")
    setup.access.begin_grant(ada)
    setup.disk.end_last()
    setup.access.end_grant(ada)
    setup.access.end_request()
    assert len(setup.disk.states) == 1 and setup.disk.people == {"Ada"}
    assert not setup.lock.is_held


def test_lock_is_held_until_all_is_on_disk(setup: Setup) -> None:
    ada = setup.ask("Ada")
    setup.access.begin_grant(ada)
    setup.access.end_grant(ada)  # before the disk has answered
    setup.access.end_request()
    for save in setup.disk.saves:
        setup.access.run_maintenance()
        assert setup.lock.is_held
        save.end("")
    setup.access.run_maintenance()
    assert not setup.lock.is_held and setup.disk.people == {"Ada"}


def test_failed_save_releases_the_lock(setup: Setup) -> None:
    setup.access.reset_all()
    setup.access.wait(1.0)
    setup.access.run_maintenance()
    assert setup.lock.is_held
    setup.disk.end_last("full")
    setup.access.run_maintenance()
    assert not setup.lock.is_held
    setup.now += 5.0  # it is repeated
    setup.access.run_maintenance()
    setup.access.run_maintenance()
    assert setup.lock.is_held and len(setup.disk.states) == 2


def test_cancelled_grant_is_taken_back(setup: Setup) -> None:
    ada = setup.ask("Ada")
    setup.access.begin_grant(ada)
    setup.access.cancel_grant(ada)
    assert len(setup.disk.states) == 2 and setup.disk.people == set()
