"""Cards and PINs that arrive from the readers of a door."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from edge.access.rules.modes import accepted_factors
from edge.access.rules.values import Factor, Waiting
from edge.config.lane import PANEL
from edge.door.card_learner import CardLearner
from edge.door.credential_lockout import CredentialLockout
from edge.door.credentials import PinMatch
from edge.door.credentials_file import PersonEntry
from edge.door.door import Door
from edge.door.events import CredentialRefusal, DoorEventCode, DoorRefusal, EventCause
from edge.door.lane_requests import Answer, LaneRequests
from edge.door.panel_requests import PanelWaiting
from edge.door.pin_hasher import HashedPin, PinHasher
from edge.door.reader_conditions import ReaderConditions
from edge.door.readers.events import (
    CardRead,
    PinEntered,
    ReaderCondition,
    ReaderEvent,
    ReaderFlooding,
    ReaderFound,
    ReaderLost,
    ReadMalformed,
)
from edge.door.readers.feedback import ReaderFeedback
from edge.door.readers.panel_events import PanelAnswered, PanelLinkChanged, PanelMessage
from edge.door.readers.reader_set import ReaderSet
from edge.door.signals import REFUSED_S, SignalState
from edge.errors import DoorError
from edge.values import DoorEvent

log = logging.getLogger(__name__)

_STATE_EVENTS: dict[type, DoorEventCode] = {
    ReaderFound: DoorEventCode.READER_FOUND,
    ReaderLost: DoorEventCode.READER_LOST,
    ReaderFlooding: DoorEventCode.READER_FLOODING,
}


class ReaderRequests:
    """Polls the readers, finds the people of cards and PINs, and presents them to the rules."""

    def __init__(
        self,
        door: Door,
        access: LaneRequests,
        readers: ReaderSet,
        pins: PinHasher,
        lockout: CredentialLockout,
    ) -> None:
        self._door, self._access = door, access
        self._readers, self._pins = readers, pins
        self.lockout = lockout
        self._conditions = ReaderConditions(door)
        self.learner = CardLearner(door, access, readers, lockout)

    def update(self) -> None:
        """Handle what the readers reported. Never waits for a reader or a hash."""
        for report in self._readers.take():
            self._attempt(report.reader, partial(self._handle, report.reader, report.event))
        for pin in self._pins.take():
            self._attempt(pin.reader, partial(self._handle_pin, pin))
        if self._access.panel is not None:
            self._attempt(PANEL, self._access.panel.update)
        self._conditions.update()
        self.learner.update()
        self.lockout.update()

    def restore_lockouts(self) -> None:
        """Take the lockouts of the previous run."""
        self.lockout.restore(self._readers.states(), self._access.credentials)

    def update_people(self) -> None:
        """Take a change of people: their requests end, their lockouts do not."""
        self._door.access.end_requests()
        if self._access.panel is not None:
            self._access.panel.update_people()
        self.lockout.update_people(self._access.credentials)

    def close(self) -> None:
        self.lockout.close()
        self._readers.close()
        self._pins.close()

    @property
    def states(self) -> dict[str, str]:
        """State of each reader, with the reason if it does not work."""
        return {n: text for n, text in self._texts().items() if n != PANEL}

    @property
    def panel_state(self) -> str:
        """State of the line to the panel, with the reason if it does not work."""
        return self._texts().get(PANEL, "")

    def _texts(self) -> dict[str, str]:
        found = self._readers.states().items()
        return {name: f"{state}{f': {why}' if why else ''}" for name, (state, why) in found}

    def _attempt(self, reader: str, handle: Callable[[], None]) -> None:
        """Handle an event; none may end the process that fire and REX need.

        Raises DoorError if a relay fails.
        """
        try:
            handle()
        except DoorError:
            raise
        except Exception:
            log.exception("reader %s: event refused, internal error; report this message", reader)
            self._door.access.abandon()
            self._readers.show(reader, ReaderFeedback.REFUSED)

    def _handle(self, reader: str, event: ReaderEvent) -> None:
        if isinstance(event, CardRead):
            self._handle_card(reader, event)
        elif isinstance(event, PinEntered):
            self._start_pin(reader, event)
        elif isinstance(event, ReadMalformed):
            self._refuse(reader, CredentialRefusal.MALFORMED, note=event.why.value)
        elif isinstance(event, ReaderCondition):
            self._conditions.note(reader, event)
        elif isinstance(event, (PanelAnswered, PanelMessage, PanelLinkChanged)):
            if self._access.panel is not None:
                self._access.panel.handle(event)
        elif (code := _STATE_EVENTS.get(type(event))) is not None:
            note = event.why if isinstance(event, ReaderLost) else None
            happened = DoorEvent(code, EventCause.READER, self._door.clock(), note=note)
            self._door.log.append(happened, {"reader": reader})
            if reader == PANEL and isinstance(event, ReaderLost) and self._access.panel:
                self._access.panel.lose()

    # ---------------------------------------------------------------- cards

    def _handle_card(self, reader: str, card: CardRead) -> None:
        if self._is_refused(reader) or self.learner.take(reader, card):
            return
        entry = self._access.credentials.find_card(card)
        panel = self._access.panel
        if entry is None and panel is not None and panel.forwards_cards:
            if (refused := panel.forward(reader, self._lane(reader), card)) is not None:
                self._refuse(reader, refused)
        elif entry is None:
            self.lockout.note_failure(reader, None)
            self._refuse(reader, CredentialRefusal.UNKNOWN_CARD)
        elif (refusal := self.lockout.find_refusal(reader, entry.name)) is not None:
            self._refuse(reader, refusal, entry.name)
        else:
            self._present(reader, Factor.CARD, entry)

    # ---------------------------------------------------------------- PINs

    def _start_pin(self, reader: str, pin: PinEntered) -> None:
        if self._is_refused(reader):
            return
        if not self._pins.start(reader, self._access.credentials.hasher, pin.digits):
            self._refuse(reader, CredentialRefusal.PIN_NOT_CHECKED)

    def _handle_pin(self, pin: HashedPin) -> None:
        """Find the person of a PIN: the one whose request waits, else by the PIN alone."""
        reader = pin.reader
        if pin.digest is None:
            self._refuse(reader, CredentialRefusal.PIN_NOT_CHECKED)
            return
        credentials = self._access.credentials
        waiting = self._door.access.find_open(self._lane(reader))
        has_card = waiting is not None and Factor.CARD in waiting.presented
        match = None
        if waiting is not None and waiting.presented:
            match = credentials.verify_pin(waiting.person.name, pin.digest)
        if match is None and not has_card:
            match = self._find_owner(pin.digest)
            if waiting is not None and waiting.presented and match is not None:
                self.lockout.note_failure(reader, None)  # a PIN of another person counts as a guess
        if match is None:
            person = waiting.person.name if waiting is not None and has_card else None
            self.lockout.note_failure(reader, person)
            self._refuse(reader, CredentialRefusal.WRONG_PIN, person)
            return
        self._accept_pin(reader, match)

    def _find_owner(self, digest: str) -> PinMatch | None:
        """Return the person of a PIN if one of their modes at this time uses a PIN.

        A duress PIN raises its alarm in any mode, and is then answered as the PIN is.
        """
        match = self._access.credentials.find_pin(digest)
        if match is None:
            return None
        rules, moment = self._door.settings.access.rules, self._door.access.moment()
        accepted = accepted_factors(rules, match.person.attributes, moment, masked=True)
        if any(Factor.PIN in each for each in accepted):
            return match
        if match.duress:
            self._start_duress(match.person.name)
        return None

    def _accept_pin(self, reader: str, match: PinMatch) -> None:
        name = match.person.name
        if match.duress:
            self._start_duress(name)
        if (refusal := self.lockout.find_refusal(reader, name)) is not None:
            self._refuse(reader, refusal, name)
            return
        self.lockout.note_success(name)
        self._present(reader, Factor.DURESS_PIN if match.duress else Factor.PIN, match.person)

    def _start_duress(self, name: str) -> None:
        door = self._door
        door.controller.start_duress()
        door.log.append(DoorEvent(DoorEventCode.DURESS, EventCause.PIN, door.clock(), name))

    # ---------------------------------------------------------------- parts

    def _present(self, reader: str, factor: Factor, entry: PersonEntry) -> None:
        answer = self._access.present_credential(self._lane(reader), factor, entry)
        self._signal(answer)
        if (feedback := _feedback(answer)) is not None:
            self._readers.show(reader, feedback)

    def show_answer(self, lane: str, answer: Answer) -> None:
        """Show the answer to a face by signals, and unless refused at the readers of a lane."""
        self._signal(answer)
        feedback = _feedback(answer)
        if feedback is None or feedback is ReaderFeedback.REFUSED:
            return
        for reader in self._readers.states():
            if self._lane(reader) == lane:
                self._readers.show(reader, feedback)

    def _signal(self, answer: Answer) -> None:
        """Show the answer to a request by the signals of the door."""
        if answer is None:
            return  # the lock shows it
        if isinstance(answer, Waiting | PanelWaiting):
            self._door.signals.note(SignalState.WAITING, answer.until)
        else:
            self._door.signals.note(SignalState.REFUSED, self._door.clock() + REFUSED_S)

    def _lane(self, reader: str) -> str:
        access = self._door.settings.access
        return access.reader_lanes.get(reader, access.lanes[0].name)

    def _is_refused(self, reader: str) -> bool:
        """Refuse a card or PIN if none is accepted now, and record it."""
        refusal: CredentialRefusal | DoorRefusal | None = self.lockout.find_refusal(reader)
        if refusal is None and self._access.credentials.damage:
            refusal = DoorRefusal.PEOPLE_UNREADABLE
        if refusal is None:
            return False
        self._refuse(reader, refusal)
        return True

    def _refuse(
        self,
        reader: str,
        refusal: CredentialRefusal | DoorRefusal,
        person: str | None = None,
        *,
        note: str | None = None,
    ) -> None:
        event = DoorEventCode.CREDENTIAL_REFUSED
        happened = DoorEvent(event, refusal, self._door.clock(), subject=person, note=note)
        self._door.log.append_refusal(happened, {"reader": reader})
        self._readers.show(reader, ReaderFeedback.REFUSED)
        self._signal(refusal)


def _feedback(answer: Answer) -> ReaderFeedback | None:
    if answer is None:
        return ReaderFeedback.GRANTED
    if isinstance(answer, PanelWaiting):
        return None
    if isinstance(answer, Waiting):
        return ReaderFeedback.PIN_WANTED if Factor.PIN in answer.missing else None
    return ReaderFeedback.REFUSED
