"""Questions of the recogniser to the door: whose card or PIN waits for a face."""

from __future__ import annotations

import logging

import pytest

from edge.errors import DoorError
from edge.recogniser.claim_reader import ClaimReader
from edge.recogniser.decision_log import LogThrottle


class AskedDoor:
    def __init__(self) -> None:
        self.person: str | None = "Ada"
        self.asked = 0
        self.is_down = False

    def claim(self, lane: str) -> str | None:
        assert lane == "lab-in"
        self.asked += 1
        if self.is_down:
            raise DoorError("no answer")
        return self.person


class Setup:
    def __init__(self, *, has_readers: bool = True) -> None:
        self.door, self.now = AskedDoor(), 100.0
        self.reader = ClaimReader(
            self.door,  # type: ignore[arg-type]
            LogThrottle(lambda: self.now),
            lambda: self.now,
            lane="lab-in",
            has_readers=has_readers,
        )

    def read_at(self, now: float) -> str | None:
        self.now = now
        return self.reader.read()


def test_claim_is_asked_ten_times_a_second() -> None:
    setup = Setup()
    assert [setup.read_at(100 + step / 50) for step in range(11)] == ["Ada"] * 11
    assert setup.door.asked == 3
    setup.door.person = None
    assert setup.read_at(100.5) is None


def test_claim_needs_a_reader() -> None:
    setup = Setup(has_readers=False)
    assert setup.read_at(200) is None and setup.door.asked == 0


def test_door_without_answer_ends_the_claim(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup()
    assert setup.read_at(100) == "Ada"
    setup.door.is_down = True
    with caplog.at_level(logging.ERROR):
        assert [setup.read_at(at) for at in (101, 102, 105)] == [None] * 3
    assert setup.door.asked == 2 and "no answer" in caplog.text
    setup.door.is_down = False
    assert setup.read_at(106) == "Ada"
