"""Scripted cards, PINs and passages, and a door in memory that applies the access rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import combinations
from typing import get_args

from edge.access.rules.codes import RuleRefusal
from edge.access.rules.engine import RulesEngine
from edge.access.rules.modes import accepted_factors
from edge.access.rules.settings import AccessRules, Lane, PassageInput
from edge.access.rules.values import (
    Allowed,
    DoorStatus,
    Factor,
    Moment,
    RulePerson,
    Waiting,
)
from edge.door.events import CredentialRefusal
from edge.errors import ConfigError
from edge.names import check_name, name_key, normalize_name
from edge.recogniser.grant_requester import RETRY_GRANT_S

OPENS, WAITS, REFUSED = "opens", "waits", "refused"
PASSES, TAILGATING, NO_GRANT = "passes", "tailgating", "no grant"  # answers to a passage
SILENT_ALARM, SECOND_PERSON = "silent alarm", "second person"
_ENTERED = {"card": Factor.CARD, "pin": Factor.PIN, "duress-pin": Factor.DURESS_PIN}


@dataclass(frozen=True, slots=True)
class ScriptedInput:
    """Card or PIN at a time of the clip; `person` is None for a card or PIN of no one."""

    at_s: float
    factor: Factor
    person: str | None


@dataclass(frozen=True, slots=True)
class ScriptedPassage:
    """Report of the contact (the door opens and closes) or of the passage sensor (one person)."""

    at_s: float
    source: PassageInput


ScriptedEvent = ScriptedInput | ScriptedPassage


@dataclass(frozen=True, slots=True, eq=False)
class DoorScript:
    """Access rules of a clip's door, its people by name key, and what happens there."""

    rules: AccessRules
    lane: str  # lane of the camera and the readers
    people: Mapping[str, RulePerson]
    inputs: tuple[ScriptedEvent, ...]
    pulse_s: float  # of a grant: then the door locks


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Answer of the door to a face, card or PIN, or the meaning of a passage."""

    at_s: float
    factor: str  # or contact or sensor
    person: str | None
    outcome: str
    detail: str  # missing factors, reason of a refusal, a silent alarm, or who is inside

    def __str__(self) -> str:
        words = f"{self.factor} of {self.person or 'no one'}: {self.outcome}"
        return f"{self.at_s:.2f} s {words}{f' ({self.detail})' if self.detail else ''}"

    @property
    def is_passage(self) -> bool:
        return self.factor in get_args(PassageInput)

    @property
    def answer(self) -> str:
        """Outcome that can be expected, such as `refused zone-full`."""
        return self.outcome if self.is_passage else f"{self.outcome} {self.detail}".strip()


def list_answers(results: Sequence[RequestResult]) -> tuple[str, ...]:
    """Return the answers in order; a repeated wait or refusal counts once."""
    answers: list[str] = []
    before: RequestResult | None = None
    for result in results:
        is_repeated = before is not None and replace(result, at_s=before.at_s) == before
        if result.outcome not in (WAITS, REFUSED) or not is_repeated:
            answers.append(result.answer)
        before = result
    return tuple(answers)


def parse_event(text: str) -> ScriptedEvent:
    """Return the event of `SECONDS card|pin|duress-pin [PERSON]` or `SECONDS passage SOURCE`.

    Raises ConfigError.
    """
    seconds, _, rest = text.strip().partition(" ")
    kind, _, word = rest.strip().partition(" ")
    word = word.strip()
    try:
        at_s = float(seconds)
        is_known = kind in _ENTERED or (kind == "passage" and word in get_args(PassageInput))
        if not is_known or not 0 <= at_s < math.inf:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"--present {text!r}: expected SECONDS, then card, pin or duress-pin with a person or "
            "nothing, or passage with contact or sensor, such as '1.5 card Ada Lovelace' or "
            "'3.2 passage sensor'"
        ) from None
    if kind == "passage":
        return ScriptedPassage(at_s, "sensor" if word == "sensor" else "contact")
    if not word:
        return ScriptedInput(at_s, _ENTERED[kind], None)
    check_name(word, "a person's name")
    return ScriptedInput(at_s, _ENTERED[kind], normalize_name(word))


def possible_answers() -> list[str]:
    """Return all answers of a door."""
    factors = sorted(each.value for each in (Factor.FACE, Factor.CARD, Factor.PIN))
    missing = [" or ".join(some) for n in (1, 2, 3) for some in combinations(factors, n)]
    passages = [PASSES, TAILGATING, NO_GRANT]
    waits = [f"{WAITS} for {words}" for words in (*missing, SECOND_PERSON)]
    codes = (*RuleRefusal, CredentialRefusal.UNKNOWN_CARD, CredentialRefusal.WRONG_PIN)
    refusals = [f"{REFUSED} {code}" for code in codes]
    return [OPENS, f"{OPENS} {SILENT_ALARM}", *passages, *waits, *refusals]


def check_passages(script: DoorScript) -> None:
    """Check that the lanes use the inputs of the scripted passages. Raises ConfigError."""
    door = script.rules.lanes[script.lane].door
    used = {lane.passage for lane in script.rules.lanes.values() if lane.door == door}
    for event in script.inputs:
        if isinstance(event, ScriptedPassage) and event.source not in used:
            raise ConfigError(
                f"--present '{event.at_s:g} passage {event.source}': no lane of the configuration "
                f"has `passage: {event.source}`; set it in `access.lanes`, or set the input in "
                "`door.inputs`"
            )


class RehearsedDoor:
    """Takes faces, cards, PINs and passages to the access rules. Times are seconds of the clip.

    A lane without contact and sensor counts each grant as a passage; lockouts are left out.
    """

    def __init__(self, script: DoorScript, starts_at: datetime) -> None:
        self._rules, self._starts_at = script.rules, starts_at
        self._people = dict(script.people)
        self._engine = RulesEngine(script.rules)
        self._lane = script.lane
        self._door = script.rules.lanes[self._lane].door
        self._pending = sorted(script.inputs, key=lambda one: one.at_s)
        self._pulse_s, self._relocks_at = script.pulse_s, math.inf
        self.results: list[RequestResult] = []

    def update(self, until_s: float) -> None:
        """Handle the cards, PINs and passages up to a time."""
        while self._pending and self._pending[0].at_s <= until_s:
            event = self._pending.pop(0)
            self._relock(event.at_s)
            if isinstance(event, ScriptedPassage):
                self._report_passage(event)
            else:
                self._present_input(event)
        self._relock(until_s)

    def present_face(self, at_s: float, subject: str, *, masked: bool) -> float | None:
        """Return the seconds until the face may be requested again, None if the door opens."""
        answer = self._present(at_s, Factor.FACE, self._person(subject), masked=masked)
        if isinstance(answer, Allowed):
            return None
        return max(RETRY_GRANT_S, answer.until - at_s) if answer else RETRY_GRANT_S

    def _relock(self, at_s: float) -> None:
        """Lock at the end of the pulse."""
        if self._relocks_at <= at_s:
            self._engine.relocked(self._door, self._relocks_at)
            self._relocks_at = math.inf

    def _report_passage(self, passage: ScriptedPassage) -> None:
        """Note the people who pass."""
        moment = self._moment(passage.at_s)
        lanes = (one for one in self._rules.lanes.values() if one.door == self._door)
        lane = next(one for one in lanes if one.passage == passage.source)
        people: tuple[str | None, ...]
        if passage.source == "contact":
            people = self._engine.opened(lane.door, moment) or (None,)
            without_grant = NO_GRANT
        else:
            found = self._engine.passed(lane.name, moment)
            people, without_grant = (found.person,), TAILGATING if found.is_tailgating else NO_GRANT
        for person in people:
            outcome = PASSES if person else without_grant
            self.results.append(
                RequestResult(
                    passage.at_s, passage.source, person, outcome, self._describe_zone(lane)
                )
            )

    def _describe_zone(self, lane: Lane) -> str:
        """Return the number of people in the zone of a lane; empty without a zone."""
        if lane.zone is None:
            return ""
        limit = f" of {lane.zone.max_people}" if lane.zone.max_people is not None else ""
        return f"{self._engine.occupancy(lane.zone.name)}{limit} in {lane.zone.name}"

    def _present_input(self, entered: ScriptedInput) -> None:
        is_card = entered.factor is Factor.CARD
        person = None if entered.person is None else self._person(entered.person)
        if person is None or (not is_card and not self._accepts_pin(entered, person)):
            reason = CredentialRefusal.UNKNOWN_CARD if is_card else CredentialRefusal.WRONG_PIN
            self._note(entered.at_s, entered.factor, person, REFUSED, reason.value)
            return
        self._present(entered.at_s, entered.factor, person)

    def _accepts_pin(self, entered: ScriptedInput, person: RulePerson) -> bool:
        """Return True if the door takes a PIN for its owner's, as its process does."""
        waiting = self._engine.find_open(self._lane, entered.at_s)
        if waiting is not None and name_key(waiting.person.name) == name_key(person.name):
            return True
        if waiting is not None and Factor.CARD in waiting.presented:
            return False
        moment = self._moment(entered.at_s)
        accepted = accepted_factors(self._rules, person, moment, masked=True)
        return entered.factor is Factor.DURESS_PIN or any(Factor.PIN in each for each in accepted)

    def _present(
        self, at_s: float, factor: Factor, person: RulePerson, *, masked: bool = False
    ) -> Allowed | Waiting | None:
        """Return the answer of the rules; None if they refuse."""
        moment, doors = self._moment(at_s), self._door_statuses(at_s)
        answer = self._engine.present(self._lane, factor, person, moment, doors, masked=masked)
        if isinstance(answer, Waiting):
            missing = sorted(each.value for each in answer.missing) or [SECOND_PERSON]
            self._note(at_s, factor, person, WAITS, f"for {' or '.join(missing)}")
        elif isinstance(answer, Allowed):
            self._engine.granted(answer, moment, doors)
            self._relocks_at = at_s + self._pulse_s
            self._note(at_s, factor, person, OPENS, SILENT_ALARM if answer.duress else "")
        else:
            self._note(at_s, factor, person, REFUSED, answer.reason.value)
            return None
        return answer

    def _door_statuses(self, at_s: float) -> dict[str, DoorStatus]:
        return {
            self._door: DoorStatus(is_unlocked=at_s < self._relocks_at < math.inf, is_open=False)
        }

    def _note(
        self, at_s: float, factor: Factor, person: RulePerson | None, outcome: str, detail: str
    ) -> None:
        name = None if person is None else person.name
        self.results.append(RequestResult(round(at_s, 4), factor.value, name, outcome, detail))

    def _person(self, name: str) -> RulePerson:
        return self._people.setdefault(name_key(name), RulePerson(name))

    def _moment(self, at_s: float) -> Moment:
        return Moment(at_s, self._starts_at + timedelta(seconds=at_s), clock_trusted=True)
