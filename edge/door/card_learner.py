"""Learning of a card: the next card at a reader is handed to an operator and opens nothing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from edge.config.lane import LABEL_PATTERN, PANEL
from edge.door.credential_lockout import CredentialLockout
from edge.door.door import Door
from edge.door.events import CredentialRefusal, DoorEventCode, EventCause
from edge.door.lane_requests import LaneRequests
from edge.door.readers.events import CardRead, ReaderState
from edge.door.readers.feedback import ReaderFeedback
from edge.door.readers.reader_set import ReaderSet
from edge.names import name_key
from edge.values import DoorEvent

LEARN_S = 30.0  # in which the card must be presented
ABANDONED_S = 3.0  # without a question of its client a request ends
_ARGUMENT = re.compile(rf"({LABEL_PATTERN})=(.+)")


class LearnState(str, Enum):
    """State of the latest request to learn a card."""

    NONE = "none"
    WAITING = "waiting"
    LEARNED = "learned"
    REFUSED = "refused"  # the card belongs to another person
    TIMED_OUT = "timed-out"


@dataclass(frozen=True, slots=True)
class Learning:
    """Request to learn the card of a person at a reader."""

    reader: str
    person: str
    until: float  # monotonic seconds


class CardLearner:
    """Waits for one card at a time. Lockout and flood of the reader apply as for any card."""

    def __init__(
        self, door: Door, access: LaneRequests, readers: ReaderSet, lockout: CredentialLockout
    ) -> None:
        self._door, self._access = door, access
        self._readers, self._lockout = readers, lockout
        self._learning: Learning | None = None
        self._state = LearnState.NONE
        self._digest = ""  # of a learned card, until an operator fetched it
        self._target = ""  # `READER=NAME` of the latest request
        self._fetched_at = -math.inf

    def find_flaw(self, argument: str) -> str:
        """Return why `READER=NAME` cannot be learned now; empty if it can."""
        self.update()
        found = _ARGUMENT.fullmatch(argument)
        if found is None:
            return f"expected a reader and a person such as entry=Ada, found {argument!r}"
        readers = {name: state for name, state in self._readers.states().items() if name != PANEL}
        if found[1] not in readers:
            known = ", ".join(readers) or "none"
            return f"the reader {found[1]} is not in `door.readers`; known: {known}"
        state, why = readers[found[1]]
        if state is not ReaderState.READY:
            return f"the reader {found[1]} cannot be used now: {why or state.sentence}"
        if (locked := self._lockout.find_refusal(found[1])) is not None:
            return f"the reader {found[1]} is locked: {locked.sentence}"
        if self._access.credentials.find_person(found[2]) is None:
            return f"{found[2]!r} is not a person of this door; see edge-door person set"
        if self._learning is not None:
            return "another card is being learned; wait until that has ended"
        return ""

    def start(self, argument: str) -> None:
        """Wait for a card, after `find_flaw` found none."""
        reader, _, person = argument.partition("=")
        self._target, self._fetched_at = argument, self._door.clock()
        self._learning = Learning(reader, person, self._fetched_at + LEARN_S)
        self._state, self._digest = LearnState.WAITING, ""

    def take(self, reader: str, card: CardRead) -> bool:
        """Take a card if one is learned at this reader; it must not be used otherwise."""
        self.update()
        learning = self._learning
        if learning is None or learning.reader != reader:
            return False
        self._learning = None
        credentials = self._access.credentials
        holder = credentials.find_card(card)
        if holder is not None and name_key(holder.name) != name_key(learning.person):
            self._state = LearnState.REFUSED
            self._record(learning, CredentialRefusal.CARD_IN_USE)
        else:
            self._state, self._digest = LearnState.LEARNED, credentials.hasher.hash_card(card)
            self._record(learning, None)
        is_learned = self._state is LearnState.LEARNED
        feedback = ReaderFeedback.GRANTED if is_learned else ReaderFeedback.REFUSED
        self._readers.show(reader, feedback)
        return True

    def update(self) -> None:
        """End a request whose time is over, or whose client is gone."""
        if self._learning is None:
            return
        if self._door.clock() >= min(self._learning.until, self._fetched_at + ABANDONED_S):
            self._learning, self._state = None, LearnState.TIMED_OUT

    def fetch(self, target: str) -> tuple[LearnState, str]:
        """Return the state of a request for `READER=NAME`, and the digest of its card once.

        A request that another one replaced has no state: its card is never one of another person.
        """
        self.update()
        if target != self._target:
            return LearnState.NONE, ""
        self._fetched_at = self._door.clock()
        found = self._state, self._digest
        if self._learning is None:
            self._state, self._digest, self._target = LearnState.NONE, "", ""
        return found

    def _record(self, learning: Learning, refusal: CredentialRefusal | None) -> None:
        event = DoorEventCode.CARD_LEARNED
        if refusal is not None:
            event = DoorEventCode.CREDENTIAL_REFUSED
        reason = refusal or EventCause.OPERATOR
        happened = DoorEvent(event, reason, self._door.clock(), subject=learning.person)
        self._door.log.append(happened, {"reader": learning.reader})
