from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.door.controller import MAX_GRANT_AGE_S, Controller
from edge.values import Grant

PULSE_S = 3.0


class Lock(RuleBasedStateMachine):
    """Random grants and time: open only for a fresh grant, and never longer than a pulse after the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.controller = Controller(PULSE_S)
        self.last_reason = -math.inf
        self.used: set[str] = set()

    @rule(age=st.floats(-2, 3), name=st.sampled_from(["a", "b", "c", "d"]), fresh=st.booleans())
    def ask(self, age: float, name: str, fresh: bool) -> None:
        grant_id = f"{name}-{self.now}-{len(self.used)}" if fresh else name
        grant = Grant(grant_id, "Ada", 1, self.now - age)
        refused = self.controller.check(grant, self.now)
        if refused is None:
            assert -0.051 <= age <= MAX_GRANT_AGE_S + 1e-6
            assert grant_id not in self.used
            self.used.add(grant_id)
            self.controller.open(grant, self.now)
            self.last_reason = self.now
        elif refused == "replayed":
            assert grant_id in self.used

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.controller.tick(self.now)

    @rule()
    def lock(self) -> None:
        self.controller.lock()
        assert not self.controller.energised

    @invariant()
    def never_open_longer_than_the_pulse(self) -> None:
        if self.controller.energised:
            assert self.now - self.last_reason < PULSE_S


TestLock = Lock.TestCase
TestLock.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def test_rest_is_locked() -> None:
    controller = Controller(PULSE_S)
    assert not controller.energised and controller.until is None and not controller.tick(math.inf)


@pytest.mark.parametrize("frame_at", [math.nan, math.inf, -math.inf, 8.9, 10.1])
def test_times_that_are_stale_or_impossible_are_refused(frame_at: float) -> None:
    assert Controller(PULSE_S).check(Grant("a", "Ada", 1, frame_at), now=10.0) == "stale"
