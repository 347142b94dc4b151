"""Choice of the kiosk's screen by views of the camera."""

from __future__ import annotations

from typing import Any

import pytest

from edge.console.kiosk.credentials import RefusedCredential
from edge.console.kiosk.instructions import find_refusal
from edge.console.kiosk.lock import LockView, read_lock
from edge.console.kiosk.screen import KioskScreen, KioskState, ScreenSelector
from edge.live.protocol import LiveView
from tests.live_recogniser import make_answer, make_face, make_view

LOOK = "Look at the camera"


class Kiosk:
    """Selector with a clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lock: LockView | None = None
        self.refused: RefusedCredential | None = None
        self._selector = ScreenSelector()

    def show(self, view: dict[str, Any] | None, after_s: float = 0.1) -> KioskScreen:
        self.now += after_s
        parsed = None if view is None else LiveView.model_validate(view)
        return self._selector.select(parsed, self.now, self.lock, self.refused)

    def show_face(self, reason: str, after_s: float = 0.1, **changes: Any) -> KioskScreen:
        return self.show(make_view(make_face(reason=reason, **changes)), after_s)


def answered(state: str, **fields: Any) -> dict[str, Any]:
    return make_view(make_face(), door=make_answer(state, **fields))


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (None, "offline"),
        (make_view(camera="lost"), "camera-lost"),
        (make_view(camera="enrollment"), "enrollment"),
        (make_view(), "idle"),
        (make_view(make_face()), "guide"),
        (answered("unlocked"), "granted"),
        (answered("refused", reason="lockdown"), "refused"),
        (answered("waiting", missing=["pin"], until=1010.0), "waiting"),
    ],
)
def test_screen_by_view(view: dict[str, Any] | None, state: str) -> None:
    assert Kiosk().show(view).state == state


def test_screen_shows_box_and_progress() -> None:
    screen = Kiosk().show_face("too-small", box=[0.1, 0.2, 0.3, 0.4], progress=0.25)
    assert (screen.text, screen.box, screen.progress) == (
        "Come closer",
        (0.1, 0.2, 0.3, 0.4),
        0.25,
    )


def test_nearest_face_is_addressed() -> None:
    far = make_face(reason="turned-away", nearest=False)
    assert Kiosk().show(make_view(far, make_face(reason="too-dark"))).text.startswith("Too dark")


def test_instruction_stays_readable() -> None:
    kiosk = Kiosk()
    assert kiosk.show_face("too-small").text == "Come closer"
    assert kiosk.show_face("blurred").text == "Come closer"  # shown for too short a time
    assert kiosk.show_face("blurred", after_s=2.0).text == "Hold still"
    kiosk.show_face("blurred", after_s=2.0)
    assert kiosk.show_face("turned-away").text == "Hold still"  # one frame only
    assert kiosk.show_face("blurred").text == "Hold still"


def test_silent_reason_keeps_instruction() -> None:
    kiosk = Kiosk()
    kiosk.show_face("too-small")
    assert kiosk.show_face("skipped", after_s=5.0).text == "Come closer"


def test_unknown_face_gets_time() -> None:
    kiosk = Kiosk()
    assert kiosk.show_face("below-threshold").text == LOOK
    assert kiosk.show_face("below-threshold", after_s=1.0).state == KioskState.GUIDE
    assert kiosk.show_face("below-threshold", after_s=1.0).state == KioskState.REFUSED
    kiosk = Kiosk()
    for _ in range(5):  # frames that agree in between start the time again
        assert kiosk.show_face("below-threshold", after_s=1.0).state == KioskState.GUIDE
        assert kiosk.show_face("insufficient-votes").state == KioskState.GUIDE


def test_idle_after_face_left() -> None:
    kiosk = Kiosk()
    kiosk.show_face("insufficient-votes")
    left = kiosk.show(make_view())
    assert (left.state, left.box) == (KioskState.GUIDE, None)
    assert kiosk.show(make_view(), after_s=1.5).state == KioskState.IDLE


def test_granted_stays_after_face_left() -> None:
    kiosk = Kiosk()
    kiosk.show(answered("unlocked"))
    assert kiosk.show(make_view(), after_s=2.0).state == KioskState.GRANTED
    assert kiosk.show(make_view(), after_s=2.0).state == KioskState.IDLE


def test_granted_ends_when_locked() -> None:
    kiosk = Kiosk()
    kiosk.lock = read_lock({"state": "unlocked", "reason": "pulse"})
    view = answered("unlocked")
    view["faces"][0]["reason"] = "cooldown"
    kiosk.show(view)
    assert kiosk.show(view, after_s=20.0).state == KioskState.GRANTED
    kiosk.lock = read_lock({"state": "locked", "reason": "normal"})
    assert kiosk.show(view, after_s=1.0).state == KioskState.IDLE


def test_granted_ends_without_lock_state() -> None:
    kiosk = Kiosk()
    view = answered("unlocked")
    kiosk.show(view)
    assert kiosk.show(view, after_s=5.0).state == KioskState.GRANTED
    assert kiosk.show(view, after_s=5.0).state != KioskState.GRANTED


def test_waiting_counts_down_and_ends() -> None:
    kiosk = Kiosk()
    view = answered("waiting", missing=["card"], until=kiosk.now + 10.1)
    screen = kiosk.show(view)
    assert (screen.text, screen.seconds_left) == ("Present your card", pytest.approx(10.0))
    assert kiosk.show(view, after_s=20.0).state == KioskState.GUIDE


def test_reason_alone_asks_for_a_card() -> None:
    screen = Kiosk().show_face("present-card", verdict="refused")
    assert (screen.state, screen.seconds_left) == (KioskState.WAITING, None)


def test_grant_follows_refusal_at_once() -> None:
    kiosk = Kiosk()
    assert kiosk.show(answered("refused", reason="interlock")).text == "Close the other door first"
    assert kiosk.show(answered("unlocked")).state == KioskState.GRANTED


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("normal", "Step in front of the camera"),
        ("lockdown", "The door is closed to everyone"),
        ("hold", "The door is open"),
        ("fire", "Emergency: the door is open"),
    ],
)
def test_idle_screen_shows_state_of_the_door(reason: str, text: str) -> None:
    kiosk = Kiosk()
    kiosk.lock = read_lock({"state": "locked", "reason": reason})
    assert kiosk.show(make_view()).text == text


def test_lock_of_silent_door_is_unknown() -> None:
    assert read_lock(None) is None
    found = read_lock({"state": "unlocked", "reason": "duress"})
    assert found == LockView(is_locked=False, text="Door unlocked")


def test_wrong_pin_is_shown_for_a_while() -> None:
    kiosk = Kiosk()
    view = answered("waiting", missing=["pin"], until=kiosk.now + 60.0)
    kiosk.show(view)
    kiosk.refused = RefusedCredential(find_refusal("wrong-pin"), kiosk.now)
    screen = kiosk.show(view)
    assert (screen.state, screen.text) == (KioskState.REFUSED, "The PIN is wrong")
    assert kiosk.show(view, after_s=4.0).text == "Enter your PIN"


def test_wrong_card_hides_no_grant() -> None:
    kiosk = Kiosk()
    kiosk.refused = RefusedCredential(find_refusal("unknown-card"), kiosk.now)
    assert kiosk.show(make_view()).text == "The card is not accepted"
    assert kiosk.show(answered("unlocked")).state == KioskState.GRANTED
