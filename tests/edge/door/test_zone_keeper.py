"""Saves of the zones while a grant is on its way."""

from __future__ import annotations

from typing import Any

from edge.access.rules.values import Allowed, DoorStatus, Factor, RulePerson
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.door.access_settings import build_access_settings
from edge.door.state_file import PendingSave
from edge.door.zone_keeper import ZoneKeeper
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
        self.states: list[dict[str, Any]] = []
        self.saves: list[PendingSave] = []

    def submit(self, state: dict[str, Any]) -> PendingSave:
        self.states.append(state)
        self.saves.append(PendingSave())
        return self.saves[-1]

    def end_last(self, error: str = "") -> None:
        self.saves[-1].error = error
        self.saves[-1].done.set()

    @property
    def people(self) -> set[str]:
        """People of the state that was submitted last."""
        return set(self.states[-1]["people"].get("lab", {}))


class Setup:
    def __init__(self) -> None:
        self.now, self.disk = 100.0, Disk()
        settings = build_access_settings(AccessConfig.model_validate(ZONE), DoorConfig())
        door = DoorStatus(is_unlocked=False, is_open=False)
        self.keeper = ZoneKeeper(
            settings,
            self.disk,  # type: ignore[arg-type]
            lambda: self.now,
            WallClock(ClockTrust(), lambda: 1.8e9),
            lambda: {settings.door: door},
        )

    def ask(self, name: str) -> Allowed:
        allowed = self.keeper.present("in", Factor.FACE, RulePerson(name))
        assert isinstance(allowed, Allowed)
        return allowed


def test_repeated_save_waits_for_the_grant() -> None:
    setup = Setup()
    keeper, disk = setup.keeper, setup.disk
    ada = setup.ask("Ada")
    keeper.begin_grant(ada)
    disk.end_last("full")
    keeper.run_maintenance()
    keeper.end_grant(ada)
    ben = setup.ask("Ben")
    keeper.begin_grant(ben)
    assert disk.people == {"Ada", "Ben"}
    setup.now += 5.0
    keeper.run_maintenance()  # a repeated save is due, and would lack this grant
    assert disk.people == {"Ada", "Ben"}
    keeper.end_grant(ben)
    keeper.run_maintenance()
    assert disk.people == {"Ada", "Ben"}


def test_grant_is_saved_once() -> None:
    setup = Setup()
    ada = setup.ask("Ada")
    setup.keeper.begin_grant(ada)
    setup.disk.end_last()
    setup.keeper.end_grant(ada)
    setup.keeper.run_maintenance()
    assert len(setup.disk.states) == 1 and setup.disk.people == {"Ada"}


def test_cancelled_grant_is_taken_back() -> None:
    setup = Setup()
    ada = setup.ask("Ada")
    setup.keeper.begin_grant(ada)
    setup.keeper.cancel_grant(ada)
    assert len(setup.disk.states) == 2 and setup.disk.people == set()
