"""Answers of an access control panel, as the recogniser follows them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edge.door.readers.panel_events import PanelVerdict
from edge.errors import DoorError
from edge.recogniser.decision_log import LogThrottle
from edge.recogniser.panel_watcher import PanelGrant, PanelOutcome, PanelWatcher
from edge.values import Grant

GRANT = Grant("g1", "Ada", 7, 99.9, "main")


class PolledDoor:
    """Door and audit log in memory."""

    def __init__(self) -> None:
        self.verdict: str | None = None
        self.asked = 0
        self.is_down = False
        self.outcomes: list[str] = []

    def panel_verdict(self, grant_id: str) -> str | None:
        assert grant_id == GRANT.id
        self.asked += 1
        if self.is_down:
            raise DoorError("no answer")
        return self.verdict

    def append_event(self, fields: dict[str, Any]) -> None:
        assert fields["decision"] == 7
        self.outcomes.append(fields["outcome"])


class WatcherSetup:
    def __init__(self) -> None:
        self.door, self.now = PolledDoor(), 100.0
        self.watcher = PanelWatcher(
            self.door,  # type: ignore[arg-type]
            self.door,  # type: ignore[arg-type]
            LogThrottle(lambda: self.now),
            lambda: self.now,
        )

    def update_at(self, now: float) -> PanelOutcome | None:
        self.now = now
        return self.watcher.update()


@pytest.fixture
def setup() -> WatcherSetup:
    made = WatcherSetup()
    made.watcher.watch(PanelGrant(GRANT, 3, 100.0, 104.0))
    return made


def test_panel_answer_is_asked_ten_times_a_second(setup: WatcherSetup) -> None:
    assert all(setup.update_at(100 + step / 50) is None for step in range(11))
    assert setup.door.asked == 3 and setup.door.outcomes == []


@pytest.mark.parametrize(
    ("verdict", "is_retried"),
    [
        (PanelVerdict.GRANTED, False),
        (PanelVerdict.SENT, False),
        (PanelVerdict.REFUSED, True),
        (PanelVerdict.NO_ANSWER, True),
    ],
)
def test_panel_answer_is_recorded_once(
    setup: WatcherSetup, verdict: PanelVerdict, is_retried: bool, caplog: pytest.LogCaptureFixture
) -> None:
    setup.door.verdict = verdict.value
    with caplog.at_level(logging.INFO):
        answered = setup.update_at(101)
    assert answered is not None and answered.is_granted is not is_retried
    assert verdict.sentence in caplog.text
    assert setup.update_at(102) is None
    assert setup.door.outcomes == [verdict.value] and setup.door.asked == 1


def test_panel_without_answer_ends_in_time(setup: WatcherSetup) -> None:
    setup.door.is_down = True
    assert setup.update_at(103) is None
    answered = setup.update_at(105)
    assert answered is not None and not answered.is_granted and answered.asked.track == 3
    assert setup.door.outcomes == ["no-answer-of-panel"]
