"""Requests to an access control panel: people that the rules allow are reported."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, replace

from edge.access.rules.values import Allowed
from edge.codes import Code
from edge.door.access_point import PanelSettings
from edge.door.credentials import Credentials
from edge.door.door import Door
from edge.door.events import DoorEventCode, DoorRefusal, EventCause
from edge.door.readers.events import CardRead
from edge.door.readers.feedback import ReaderFeedback
from edge.door.readers.panel_events import (
    PanelAnswered,
    PanelInput,
    PanelLinkChanged,
    PanelMessage,
    PanelVerdict,
)
from edge.door.readers.reader_set import ReaderSet
from edge.door.signals import GRANTED_S, REFUSED_S, SignalState
from edge.door.unlocker import RECORD_DEADLINE_S, GrantUnlocker, grant_event
from edge.errors import DoorError
from edge.values import DoorEvent, Grant

_ANSWER_MARGIN_S = 1.0  # after the adapter's own time limit
_TEXT_S = 2.0  # time after an answer in which a text belongs to it
_REMEMBERED = 256
_GRANTING = (PanelVerdict.GRANTED, PanelVerdict.SENT)


@dataclass(frozen=True, slots=True)
class PanelWaiting:
    """Answer to a request that the panel decides about."""

    until: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class _Pending:
    """Request that the panel decides about."""

    report: int
    until: float
    lane: str
    grant: Grant | None  # None: a forwarded card
    allowed: Allowed | None


class PanelRequests:
    """Reports one card at a time and follows the answer. Fire, REX and operators do not wait."""

    def __init__(
        self, door: Door, settings: PanelSettings, readers: ReaderSet, unlocker: GrantUnlocker
    ) -> None:
        self._door, self._settings = door, settings
        self._readers, self._unlocker = readers, unlocker
        self._pending: _Pending | None = None
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)  # grants that were reported
        self._verdicts: OrderedDict[str, PanelVerdict] = OrderedDict()  # by grant
        self._text_until = 0.0
        self.text = ""  # newest text of the panel
        self.is_connected = False

    @property
    def forwards_cards(self) -> bool:
        """True if cards of unknown people are reported too."""
        return self._settings.forward_cards

    @property
    def is_waiting(self) -> bool:
        """True while the panel decides about a card."""
        return self._pending is not None

    def verdict(self, grant_id: str) -> PanelVerdict | None:
        """Return the answer to a grant, None if there is none yet."""
        return self._verdicts.get(grant_id)

    def request(
        self, grant: Grant, allowed: Allowed, credentials: Credentials
    ) -> PanelWaiting | Code:
        """Report the card of an allowed person; return the refusal if that is not possible."""
        card = self._find_card(grant, credentials)
        refusal = card if isinstance(card, Code) else self._record(grant, allowed)
        if refusal is None and isinstance(card, CardRead):
            report = self._readers.report_card(card)
            if report is not None:
                self._recent.append(grant.id)
                return self._wait(report, allowed.lane, grant, allowed)
            refusal = DoorRefusal.PANEL_OFFLINE
        assert refusal is not None
        self._door.access.cancel_grant(allowed)
        self._unlocker.refuse(grant, refusal)
        return refusal

    def forward(self, reader: str, lane: str, card: CardRead) -> DoorRefusal | None:
        """Report a card of an unknown person as read; return why it is refused."""
        if self._pending is not None:
            return DoorRefusal.PANEL_BUSY
        report = self._readers.report_card(card)
        if report is None:
            return DoorRefusal.PANEL_OFFLINE
        event = DoorEvent(DoorEventCode.PANEL_ASKED, EventCause.READER, self._door.clock())
        self._door.log.append_refusal(event, {"reader": reader})
        self._wait(report, lane, None, None)
        return None

    def handle(self, event: PanelInput) -> None:
        """Take what the panel sent. Raises DoorError if the relay fails."""
        if isinstance(event, PanelAnswered):
            if self._pending is not None and self._pending.report == event.report:
                self._finish(self._pending, event.verdict)
        elif isinstance(event, PanelMessage):
            self._take_text(event.text)
        elif isinstance(event, PanelLinkChanged):
            self._update_link(is_connected=event.connected)

    def lose(self) -> None:
        """Note that the line to the panel is lost."""
        self._update_link(is_connected=False)

    def update(self) -> None:
        """End a request without an answer. Raises DoorError if the relay fails."""
        if self._pending is not None and self._door.clock() >= self._pending.until:
            self._finish(self._pending, PanelVerdict.NO_ANSWER)

    def update_people(self) -> None:
        """End a request after a change of people: its rights may be gone.

        Raises DoorError if the relay fails.
        """
        if self._pending is not None and self._pending.grant is not None:
            self._finish(self._pending, PanelVerdict.NO_ANSWER)

    # ---------------------------------------------------------------- parts

    def _find_card(self, grant: Grant, credentials: Credentials) -> CardRead | DoorRefusal:
        if self._pending is not None:
            return DoorRefusal.PANEL_BUSY
        if grant.id in self._recent:
            return DoorRefusal.REPLAYED
        try:
            text = credentials.find_panel_card(grant.subject)
            if text is None:
                return DoorRefusal.NO_PANEL_CARD
            return self._settings.card_format.card(text)
        except (DoorError, ValueError):
            return DoorRefusal.PANEL_CARD_INVALID

    def _record(self, grant: Grant, allowed: Allowed) -> Code | None:
        """Record the request, then check it again: the panel may open at once."""
        door = self._door
        event = grant_event(DoorEventCode.PANEL_ASKED, EventCause.GRANT, door.clock(), grant)
        record = door.log.append(event)
        is_recorded = door.wait_recorded(record, door.clock() + RECORD_DEADLINE_S)
        if not (is_recorded or door.settings.unlock_unrecorded):
            return DoorRefusal.NOT_RECORDED
        return door.controller.check(grant, door.clock()) or door.access.check(allowed)

    def _wait(
        self, report: int, lane: str, grant: Grant | None, allowed: Allowed | None
    ) -> PanelWaiting:
        until = self._door.clock() + self._settings.answer_s + _ANSWER_MARGIN_S
        self._pending = _Pending(report, until, lane, grant, allowed)
        self._text_until = until
        return PanelWaiting(until)

    def _finish(self, pending: _Pending, verdict: PanelVerdict) -> None:
        """Record the answer and act on it."""
        door, grant, self._pending = self._door, pending.grant, None
        now = door.clock()
        self._text_until = now + _TEXT_S
        event = DoorEvent(DoorEventCode.PANEL_ANSWERED, verdict, now)
        if grant is not None:
            event = grant_event(DoorEventCode.PANEL_ANSWERED, verdict, now, grant)
            self._verdicts[grant.id] = verdict
            while len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)
        door.log.append(event)
        is_granted = verdict in _GRANTING
        if grant is not None and pending.allowed is not None:
            is_granted = self._apply(grant, pending.allowed, verdict) and is_granted
        if is_granted:
            door.signals.note(SignalState.GRANTED, now + GRANTED_S)
        else:
            door.signals.note(SignalState.REFUSED, now + REFUSED_S)
        feedback = ReaderFeedback.GRANTED if is_granted else ReaderFeedback.REFUSED
        for reader, lane in door.settings.access.reader_lanes.items():
            if lane == pending.lane:
                self._readers.show(reader, feedback)

    def _apply(self, grant: Grant, allowed: Allowed, verdict: PanelVerdict) -> bool:
        """Commit or cancel the request; return False if the local relay was refused."""
        access = self._door.access
        if verdict not in _GRANTING:
            access.cancel_grant(allowed)
        elif self._settings.switch_relay:
            fresh = replace(grant, frame_at=self._door.clock())
            with self._door.hold_zones(allowed.lane, allowed.people) as is_held:
                if is_held:
                    return self._unlocker.unlock(fresh, allowed) is None
            access.cancel_grant(allowed)
            self._unlocker.refuse(fresh, DoorRefusal.ZONES_BUSY)
            return False
        else:
            access.begin_grant(allowed)
            access.end_grant(allowed)
        return True

    def _take_text(self, text: str) -> None:
        self.text = text
        now = self._door.clock()
        if now <= self._text_until:
            event = DoorEvent(DoorEventCode.PANEL_TEXT, EventCause.PANEL, now, note=text)
            self._door.log.append_refusal(event)

    def _update_link(self, *, is_connected: bool) -> None:
        if is_connected == self.is_connected:
            return
        self.is_connected = is_connected
        code = DoorEventCode.PANEL_FOUND if is_connected else DoorEventCode.PANEL_LOST
        now = self._door.clock()
        self._door.log.append_refusal(DoorEvent(code, EventCause.PANEL, now))
        if not is_connected and self._pending is not None:
            self._finish(self._pending, PanelVerdict.NO_ANSWER)
