"""Lockout after wrong credentials."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.lockout import Lockout, LockoutRule

RULE = LockoutRule(failures=3, window_s=60.0, lock_s=30.0, lock_max_s=100.0)


def fail(lockout: Lockout, key: str, times: int, now: float) -> list[bool]:
    return [lockout.note_failure(key, now) for _ in range(times)]


def test_lockout_starts_at_the_limit() -> None:
    lockout = Lockout(RULE)
    assert fail(lockout, "ada", 3, now=0.0) == [False, False, True]
    assert lockout.locked_s("ada", 10.0) == 20.0
    assert lockout.locked_s("bob", 10.0) == 0.0
    assert lockout.locked_s("ada", 30.0) == 0.0


def test_lockout_old_failures_do_not_count() -> None:
    lockout = Lockout(RULE)
    fail(lockout, "ada", 2, now=0.0)
    assert fail(lockout, "ada", 2, now=60.0) == [False, False]


def test_lockout_success_forgets_failures() -> None:
    lockout = Lockout(RULE)
    fail(lockout, "ada", 2, now=0.0)
    lockout.note_success("ada")
    assert fail(lockout, "ada", 2, now=1.0) == [False, False]


def test_lockout_time_doubles_to_its_maximum() -> None:
    lockout, now, locks = Lockout(RULE), 0.0, []
    for _ in range(4):
        fail(lockout, "ada", 3, now)
        locks.append(lockout.locked_s("ada", now))
        now += locks[-1]
    assert locks == [30.0, 60.0, 100.0, 100.0]
    fail(lockout, "ada", 3, now + 60.0)
    assert lockout.locked_s("ada", now + 60.0) == 30.0


def test_lockout_endless_window_stops_guesses() -> None:
    lockout = Lockout(replace(RULE, window_s=math.inf))
    assert not any(lockout.note_failure("ada", now) for now in (0.0, 1e6))
    assert lockout.note_failure("ada", 2e6)
    lockout.note_success("ada")
    assert not any(lockout.note_failure("ada", now) for now in (3e6, 4e6))


def test_lockout_memory_is_bounded() -> None:
    lockout = Lockout(RULE)
    fail(lockout, "ada", 3, now=0.0)
    for key in range(10_000):
        lockout.note_failure(str(key), now=1.0)
    assert len(lockout) <= 4096
    assert lockout.locked_s("ada", 1.0) > 0.0


@given(st.lists(st.floats(0.0, 100.0), max_size=60))
def test_lockout_allows_few_guesses(pauses: list[float]) -> None:
    """No guess counts during a lock, and any minute has at most six."""
    lockout, now, guesses, locked_until = Lockout(RULE), 0.0, [], 0.0
    for pause in pauses:
        now += pause
        if lockout.locked_s("ada", now):
            assert not lockout.note_failure("ada", now)
            continue
        assert now >= locked_until - 1e-6
        guesses.append(now)
        if lockout.note_failure("ada", now):
            locked_until = now + RULE.lock_s
    for start in guesses:
        assert sum(start <= guess < start + RULE.window_s for guess in guesses) <= 6


@pytest.mark.parametrize("count", [1, 2])
def test_lockout_first_failures_do_not_lock(count: int) -> None:
    lockout = Lockout(RULE)
    assert not any(fail(lockout, "ada", count, now=0.0))
    assert lockout.locked_s("ada", 0.0) == 0.0
