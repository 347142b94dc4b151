"""Choice of the kiosk's screen: from views of the camera to one instruction at a time.

The screen has no names and no scores. Its choice is damped, so that a text can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from edge.console.kiosk.credentials import RefusedCredential
from edge.console.kiosk.instructions import (
    LOOK,
    PASS,
    InstructionKind,
    find_prompt,
    find_refusal,
    find_wait,
)
from edge.console.kiosk.lock import LockView
from edge.console.translation import mark
from edge.live.protocol import LiveDoorAnswer, LiveFace, LiveView

_LEAVE_S = 1.0  # without a face before the idle screen
_STEADY_S = 0.3  # of another instruction before it is shown
_READ_S = 1.2  # shortest time of an instruction
_UNKNOWN_S = 1.5  # of refused frames before the screen shows it
_HOLD_S = 3.0  # shortest time of granted and refused
_GRANTED_S = 8.0  # longest time of granted if the state of the lock is unknown


class KioskState(str, Enum):
    """State of the screen; also the name of its style."""

    OFFLINE = "offline"  # no recogniser
    CAMERA_LOST = "camera-lost"
    ENROLLMENT = "enrollment"
    IDLE = "idle"
    GUIDE = "guide"  # a face is examined
    WAITING = "waiting"  # for a card, a PIN or another person
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class KioskScreen:
    """Content of the screen. Texts are English messages of the catalogues."""

    state: KioskState
    title: str
    text: str
    box: tuple[float, float, float, float] | None = None  # parts of the picture
    progress: float = 0.0  # of the votes, 0..1
    seconds_left: float | None = None  # to complete the request


OFFLINE = KioskScreen(
    KioskState.OFFLINE,
    mark("Out of service"),
    mark("Use another entrance or ask the staff"),
)
CAMERA_LOST = KioskScreen(KioskState.CAMERA_LOST, mark("The camera does not work"), OFFLINE.text)
ENROLLMENT = KioskScreen(
    KioskState.ENROLLMENT, mark("A person is being registered"), mark("Please wait")
)
IDLE = KioskScreen(KioskState.IDLE, "", mark("Step in front of the camera"))
GUIDE = KioskScreen(KioskState.GUIDE, "", LOOK.text)
WAITING = KioskScreen(KioskState.WAITING, mark("One more step"), "")
GRANTED = KioskScreen(KioskState.GRANTED, mark("Access granted"), PASS)
REFUSED = KioskScreen(KioskState.REFUSED, mark("No access"), "")
SCREENS = (OFFLINE, CAMERA_LOST, ENROLLMENT, IDLE, GUIDE, WAITING, GRANTED, REFUSED)

# A refused card or PIN is shown instead of these.
_ATTENTIVE = (KioskState.IDLE, KioskState.GUIDE, KioskState.WAITING)


class ScreenSelector:
    """Chooses the screen for each view. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._shown, self._since = IDLE, 0.0
        self._face_at = self._granted_at = -_GRANTED_S
        self._request: LiveDoorAnswer | None = None
        self._refused_since: float | None = None  # first of consecutive refused frames
        self._next: tuple[str, float] = "", 0.0  # other instruction, and since when

    def select(
        self,
        view: LiveView | None,
        now: float,
        lock: LockView | None,
        refused: RefusedCredential | None,
    ) -> KioskScreen:
        """Return the screen; `lock` is None if the door does not answer.

        `refused` is the latest card or PIN that was refused.
        """
        wanted = self._choose(view, now, lock)
        if refused is not None and now - refused.at < _HOLD_S and wanted.state in _ATTENTIVE:
            wanted = replace(
                REFUSED, text=refused.instruction.text, box=wanted.box, progress=wanted.progress
            )
        if self._is_held(wanted, now):
            wanted = replace(self._shown, box=wanted.box)
        elif (wanted.state, wanted.text) != (self._shown.state, self._shown.text):
            self._since = now
        self._shown = wanted
        return wanted

    def _is_held(self, wanted: KioskScreen, now: float) -> bool:
        """Return True if the screen before stays, so that it can be read."""
        before, shown_s = self._shown.state, now - self._since
        if before in (KioskState.GRANTED, KioskState.REFUSED):
            return wanted.state in (KioskState.GUIDE, KioskState.IDLE) and shown_s < _HOLD_S
        if before is not KioskState.GUIDE or wanted.state is not KioskState.GUIDE:
            return False
        if wanted.text == self._shown.text:
            self._next = "", now
            return False
        if self._next[0] != wanted.text:
            self._next = wanted.text, now
        return shown_s < _READ_S or now - self._next[1] < _STEADY_S

    def _choose(self, view: LiveView | None, now: float, lock: LockView | None) -> KioskScreen:
        if view is None:
            return OFFLINE
        if view.camera != "ready":
            return CAMERA_LOST if view.camera == "lost" else ENROLLMENT
        face = _find_face(view)
        if face is None:
            self._refused_since = self._request = None
            stays = now - self._face_at < _LEAVE_S and self._shown.state is KioskState.GUIDE
            return replace(self._shown, box=None) if stays else _idle(lock)
        self._face_at = now
        screen = self._find_answer(view.door, now, lock) or self._guide(face, now, lock)
        return replace(screen, box=face.box, progress=face.progress)

    def _find_answer(
        self, request: LiveDoorAnswer | None, now: float, lock: LockView | None
    ) -> KioskScreen | None:
        """Return the screen for an answer of the door, None if the answer adds nothing."""
        is_new = request != self._request
        self._request = request
        if request is None:
            return None
        if request.state == "unlocked":
            if is_new:
                self._granted_at = now
            granted_s = now - self._granted_at
            ended = granted_s > _GRANTED_S if lock is None else lock.is_locked
            return None if ended and granted_s > _HOLD_S else GRANTED
        if request.state == "refused":
            return replace(REFUSED, text=find_refusal(request.reason).text)
        left = None if request.until is None else request.until - now
        if left is not None and left <= 0:
            return None
        return replace(WAITING, text=find_wait(request.missing).text, seconds_left=left)

    def _guide(self, face: LiveFace, now: float, lock: LockView | None) -> KioskScreen:
        """Return the screen for the reason of the face."""
        instruction = find_prompt(face.reason)
        if instruction is None:  # the screen stays as it is
            return self._shown if self._shown.state is KioskState.GUIDE else _idle(lock)
        if instruction.kind is not InstructionKind.REFUSAL:
            self._refused_since = None
            is_wait = instruction.kind is InstructionKind.WAIT
            return replace(WAITING if is_wait else GUIDE, text=instruction.text)
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since < _UNKNOWN_S:
            return GUIDE
        return replace(REFUSED, text=instruction.text)


def _idle(lock: LockView | None) -> KioskScreen:
    return replace(IDLE, text=lock.notice) if lock and lock.notice else IDLE


def _find_face(view: LiveView) -> LiveFace | None:
    nearest = [face for face in view.faces if face.nearest]
    return next(iter(nearest or view.faces), None)
