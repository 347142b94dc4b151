"""Saves of the zones while a grant is on its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.access.rules.content import ZoneContent
from edge.access.rules.values import Allowed, DoorStatus, Factor, RulePerson
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.door.access_settings import build_access_settings
from edge.door.state_file import PendingSave
from edge.door.zone_file import PendingRead
from edge.door.zone_keeper import ZoneKeeper
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
        settings = build_access_settings(AccessConfig.model_validate(ZONE), DoorConfig())
        door = DoorStatus(is_unlocked=False, is_open=False)
        self.keeper = ZoneKeeper(
            settings,
            self.disk,  # type: ignore[arg-type]
            self.lock,
            lambda: self.now,
            WallClock(ClockTrust(), lambda: 1.8e9),
            lambda: {settings.door: door},
        )

    def ask(self, name: str) -> Allowed:
        while not self.keeper.begin_request():
            self.keeper.wait(1.0)
        allowed = self.keeper.present("in", Factor.FACE, RulePerson(name))
        assert isinstance(allowed, Allowed)
        return allowed


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    yield made
    made.lock.close()


def test_repeated_save_waits_for_the_grant(setup: Setup) -> None:
    keeper, disk = setup.keeper, setup.disk
    ada = setup.ask("Ada")
    keeper.begin_grant(ada)
    disk.end_last("full")
    keeper.run_maintenance()
    keeper.end_grant(ada)
    keeper.end_request()
    ben = setup.ask("Ben")
    keeper.begin_grant(ben)
    assert disk.people == {"Ada", "Ben"}
    setup.now += 5.0
    keeper.run_maintenance()  # a repeated save is due, and would lack this grant
    assert disk.people == {"Ada", "Ben"}
    keeper.end_grant(ben)
    keeper.run_maintenance()
    assert disk.people == {"Ada", "Ben"}


def test_grant_is_saved_once(setup: Setup) -> None:
    ada = setup.ask("Ada")
    setup.keeper.begin_grant(ada)
    setup.disk.end_last()
    setup.keeper.end_grant(ada)
    setup.keeper.end_request()
    assert len(setup.disk.states) == 1 and setup.disk.people == {"Ada"}
    assert not setup.lock.is_held


def test_lock_is_held_until_all_is_on_disk(setup: Setup) -> None:
    ada = setup.ask("Ada")
    setup.keeper.begin_grant(ada)
    setup.keeper.end_grant(ada)  # before the disk has answered
    setup.keeper.end_request()
    for save in setup.disk.saves:
        setup.keeper.run_maintenance()
        assert setup.lock.is_held
        save.end("")
    setup.keeper.run_maintenance()
    assert not setup.lock.is_held and setup.disk.people == {"Ada"}


def test_failed_save_releases_the_lock(setup: Setup) -> None:
    setup.keeper.reset_all()
    setup.keeper.wait(1.0)
    setup.keeper.run_maintenance()
    assert setup.lock.is_held
    setup.disk.end_last("full")
    setup.keeper.run_maintenance()
    assert not setup.lock.is_held
    setup.now += 5.0  # it is repeated
    setup.keeper.run_maintenance()
    setup.keeper.run_maintenance()
    assert setup.lock.is_held and len(setup.disk.states) == 2


def test_cancelled_grant_is_taken_back(setup: Setup) -> None:
    ada = setup.ask("Ada")
    setup.keeper.begin_grant(ada)
    setup.keeper.cancel_grant(ada)
    assert len(setup.disk.states) == 2 and setup.disk.people == set()
