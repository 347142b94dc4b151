"""Deliberately broken engines and controllers that the oracle must find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.content import ZoneContent
from edge.access.rules.engine import RulesEngine
from edge.access.rules.settings import Lane
from edge.access.rules.values import (
    Allowed,
    Direction,
    DoorStatus,
    DoorStatuses,
    Factor,
    Moment,
    Refused,
    RuleOutcome,
    RulePerson,
)
from edge.door.controller import Controller
from edge.values import Grant


class CommitsWhenDeciding(RulesEngine):
    """Counts a person as passed before the grant is recorded."""

    def present(self, *arguments: Any, **more: Any) -> RuleOutcome:
        outcome = super().present(*arguments, **more)
        if isinstance(outcome, Allowed):
            self.granted(outcome, arguments[3], arguments[4])
        return outcome


class ForgetsGrantsAtRestart(RulesEngine):
    """Loses grants whose passage is not reported yet."""

    def load(self, content: ZoneContent) -> None:
        super().load(replace(content, pending=[]))


class StartsEmptyAfterBadState(RulesEngine):
    """Allows everyone when the state cannot be read."""

    def invalidate(self) -> None: ...


class IgnoresMask(RulesEngine):
    """Accepts a masked face without a second factor."""

    def present(self, *arguments: Any, **more: Any) -> RuleOutcome:
        return super().present(*arguments, **{**more, "masked": False})


class AcceptsForeignPin(RulesEngine):
    """Takes the PIN of another person for that of the person whose face was seen."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: dict[str, RulePerson] = {}

    def present(self, *arguments: Any, **more: Any) -> RuleOutcome:
        lane, factor, person, moment, doors = arguments
        outcome = super().present(lane, factor, person, moment, doors, **more)
        is_foreign = isinstance(outcome, Refused) and outcome.reason is RuleRefusal.OTHER_PERSON
        if is_foreign and factor in (Factor.PIN, Factor.DURESS_PIN) and lane in self.seen:
            return super().present(lane, factor, self.seen[lane], moment, doors, **more)
        if factor is Factor.FACE:
            self.seen[lane] = person
        return outcome


class KeepsCancelled(RulesEngine):
    """Keeps the factors of a request that was refused after all."""

    def cancelled(self, allowed: Allowed) -> None: ...


class CountsAgain(RulesEngine):
    """Counts each entry of a person, also of one who is inside already."""

    def granted(self, allowed: Allowed, moment: Moment, doors: DoorStatuses) -> None:
        if self._rules.lanes[allowed.lane].passage is None:
            self._ledger.content.counted.clear()
        super().granted(allowed, moment, doors)


class CountsAfterReset(RulesEngine):
    """Leaves a person in the number of people after a reset."""

    def reset_person(self, person: str) -> None:
        counts = dict(self._ledger.content.counts)
        super().reset_person(person)
        self._ledger.content.counts.update(counts)


class CountsExitAfterReset(RulesEngine):
    """Counts the exit of a person that a reset has taken out of the number."""

    def reset_all(self) -> None:
        super().reset_all()
        self._ledger.content.people.clear()
        self._ledger.content.counted.clear()


class ErasesLikeReset(RulesEngine):
    """Keeps the name of an erased person who was inside, and the number lacks them."""

    def erase_person(self, person: str) -> None:
        self.reset_person(person)
        self.reset_uses(person)


class KeepsErasedVisits(RulesEngine):
    """Keeps the number of visits of an erased person."""

    def erase_person(self, person: str) -> None:
        used = dict(self._ledger.content.used)
        super().erase_person(person)
        self._ledger.content.used.update(used)


class FullZoneRefusesExit(RulesEngine):
    """Keeps people inside a full zone."""

    def _find_refusal(
        self, lane: Lane, people: tuple[RulePerson, ...], moment: Moment, doors: DoorStatuses
    ) -> RuleRefusal | None:
        limit = None if lane.zone is None else lane.zone.max_people
        if lane.zone is not None and limit is not None and lane.direction is Direction.OUT:
            return RuleRefusal.ZONE_FULL if self.occupancy(lane.zone.name) >= limit else None
        return super()._find_refusal(lane, people, moment, doors)


class IgnoresOtherDoor(RulesEngine):
    """Unlocks a door of a mantrap while the other one is open."""

    def _find_refusal(
        self, lane: Lane, people: tuple[RulePerson, ...], moment: Moment, doors: DoorStatuses
    ) -> RuleRefusal | None:
        locked = {door: DoorStatus(False, False) for door in doors}
        return super()._find_refusal(lane, people, moment, locked)


class TrustsEveryClock(RulesEngine):
    """Uses a wall clock that is not trusted."""

    def present(self, *arguments: Any, **more: Any) -> RuleOutcome:
        lane, factor, person, moment, doors = arguments
        trusted = replace(moment, clock_trusted=True)
        return super().present(lane, factor, person, trusted, doors, **more)


class HidesDuress(RulesEngine):
    """Raises no silent alarm."""

    def present(self, *arguments: Any, **more: Any) -> RuleOutcome:
        return replace(super().present(*arguments, **more), duress=False)


class ForgetsGrants(RulesEngine):
    """Does not note that the door was unlocked."""

    def granted(self, allowed: Allowed, moment: Moment, doors: DoorStatuses) -> None: ...


class IgnoresOpenings(RulesEngine):
    """Takes no passage from the contact."""

    def opened(self, door: str, moment: Moment) -> tuple[str, ...]:
        return ()


class ForgetsRelocks(RulesEngine):
    """Keeps grants without a passage for ever."""

    def relocked(self, door: str, at: float) -> None: ...


class IgnoresLockdown(Controller):
    """Accepts each grant, also in lockdown and in locked hours."""

    def check(self, grant: Grant, now: float) -> None: ...


MUTANTS = (
    CommitsWhenDeciding,
    ForgetsGrantsAtRestart,
    StartsEmptyAfterBadState,
    IgnoresMask,
    AcceptsForeignPin,
    CountsAgain,
    CountsAfterReset,
    CountsExitAfterReset,
    ErasesLikeReset,
    KeepsErasedVisits,
    KeepsCancelled,
    FullZoneRefusesExit,
    IgnoresOtherDoor,
    TrustsEveryClock,
    HidesDuress,
)
# At a door: the class that each one replaces.
DOOR_MUTANTS: tuple[tuple[str, type], ...] = (
    ("edge.door.access_controller.RulesEngine", ForgetsGrants),
    ("edge.door.access_controller.RulesEngine", IgnoresOpenings),
    ("edge.door.access_controller.RulesEngine", ForgetsRelocks),
    ("edge.door.door.Controller", IgnoresLockdown),
)
