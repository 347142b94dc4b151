"""Cards and PINs of a rehearsal, and a door in memory that decides on them by the access rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge.access.rules.engine import RulesEngine
from edge.access.rules.modes import accepted_factors
from edge.access.rules.settings import AccessRules
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
_ENTERED = {"card": Factor.CARD, "pin": Factor.PIN, "duress-pin": Factor.DURESS_PIN}
_LOCKED = DoorStatus(is_unlocked=False, is_open=False)


@dataclass(frozen=True, slots=True)
class ScriptedInput:
    """Card or PIN at a time of the clip; `person` is None for a card or PIN of no one."""

    at_s: float
    factor: Factor
    person: str | None


@dataclass(frozen=True, slots=True, eq=False)
class DoorScript:
    """Access rules of a clip's door, its people by name key, cards and PINs in order of time."""

    rules: AccessRules
    lane: str  # lane of the camera and the readers
    people: Mapping[str, RulePerson]
    inputs: tuple[ScriptedInput, ...]


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Answer of the door to a face, card or PIN."""

    at_s: float
    factor: str
    person: str | None
    outcome: str  # opens, waits or refused
    detail: str  # missing factors, reason of a refusal, or a silent alarm

    def __str__(self) -> str:
        words = f"{self.factor} of {self.person or 'no one'}: {self.outcome}"
        return f"{self.at_s:.2f} s {words}{f' ({self.detail})' if self.detail else ''}"


def parse_input(text: str) -> ScriptedInput:
    """Return the input of `SECONDS card|pin|duress-pin [PERSON]`. Raises ConfigError."""
    seconds, _, rest = text.strip().partition(" ")
    kind, _, person = rest.strip().partition(" ")
    try:
        at_s = float(seconds)
        if kind not in _ENTERED or not 0 <= at_s < float("inf"):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"--present {text!r}: expected SECONDS, then card, pin or duress-pin, then a person or "
            "nothing, such as '1.5 card Ada Lovelace'"
        ) from None
    if not person.strip():
        return ScriptedInput(at_s, _ENTERED[kind], None)
    check_name(person, "a person's name")
    return ScriptedInput(at_s, _ENTERED[kind], normalize_name(person))


class RehearsedDoor:
    """Takes faces, cards and PINs to the access rules. Times are seconds of the clip.

    Each grant counts as a passage of a door without a contact; lockouts are left out.
    """

    def __init__(self, script: DoorScript, starts_at: datetime) -> None:
        self._rules, self._starts_at = script.rules, starts_at
        self._people = dict(script.people)
        self._engine = RulesEngine(script.rules)
        self._lane = script.lane
        self._doors = {lane.door: _LOCKED for lane in script.rules.lanes.values()}
        self._pending = sorted(script.inputs, key=lambda one: one.at_s)
        self.results: list[RequestResult] = []

    def update(self, until_s: float) -> None:
        """Present the cards and PINs up to a time."""
        while self._pending and self._pending[0].at_s <= until_s:
            self._present_input(self._pending.pop(0))

    def present_face(self, at_s: float, subject: str, *, masked: bool) -> float | None:
        """Return the seconds until the face may be requested again, None if the door opens."""
        answer = self._present(at_s, Factor.FACE, self._person(subject), masked=masked)
        if isinstance(answer, Allowed):
            return None
        return max(RETRY_GRANT_S, answer.until - at_s) if answer else RETRY_GRANT_S

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
        moment = self._moment(at_s)
        answer = self._engine.present(
            self._lane, factor, person, moment, self._doors, masked=masked
        )
        if isinstance(answer, Waiting):
            missing = sorted(each.value for each in answer.missing) or ["second person"]
            self._note(at_s, factor, person, WAITS, f"for {' or '.join(missing)}")
        elif isinstance(answer, Allowed):
            self._engine.granted(answer, moment, self._doors)
            self._note(at_s, factor, person, OPENS, "silent alarm" if answer.duress else "")
        else:
            self._note(at_s, factor, person, REFUSED, answer.reason.value)
            return None
        return answer

    def _note(
        self, at_s: float, factor: Factor, person: RulePerson | None, outcome: str, detail: str
    ) -> None:
        name = None if person is None else person.name
        self.results.append(RequestResult(round(at_s, 4), factor.value, name, outcome, detail))

    def _person(self, name: str) -> RulePerson:
        return self._people.setdefault(name_key(name), RulePerson(name))

    def _moment(self, at_s: float) -> Moment:
        return Moment(at_s, self._starts_at + timedelta(seconds=at_s), clock_trusted=True)
