"""Lockout after wrong credentials, per person and per reader. Pure: times are arguments."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

KEYS_MAX = 4096
LOCKS_MAX = 16  # doublings that are counted


@dataclass(frozen=True, slots=True)
class LockoutRule:
    """`failures` wrong credentials within `window_s` lock for `lock_s`, doubled at each lock.

    The time is at most `lock_max_s`. A lock is forgotten `window_s` after its end. An infinite
    window forgets nothing before a success.
    """

    failures: int
    window_s: float
    lock_s: float
    lock_max_s: float


@dataclass(frozen=True, slots=True)
class LockoutCount:
    """Failures of one key. Times are seconds of one clock."""

    failures: int
    since: float  # of the first failure, or of the end of the last lock
    locks: int
    locked_until: float


class Lockout:
    """Counts failures by key, such as a reader's or a person's name.

    It limits cards and PINs only: faces, fire, REX and operators are not subject to it. At most
    4096 keys are kept; the oldest one without a lock is dropped first.
    """

    def __init__(self, rule: LockoutRule) -> None:
        self._rule = rule
        self._counts: OrderedDict[str, LockoutCount] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def locked_s(self, key: str, now: float) -> float:
        """Return for how many seconds a key is locked; 0 if it is not."""
        count = self._counts.get(key)
        return 0.0 if count is None else max(0.0, count.locked_until - now)

    def note_failure(self, key: str, now: float) -> bool:
        """Count a wrong credential; return True if this locks the key."""
        if self.locked_s(key, now):
            return False
        count = self._counts.pop(key, None)
        if count is None or now - count.since >= self._rule.window_s:
            count = LockoutCount(0, now, 0, now)
        count = replace(count, failures=count.failures + 1)
        self._counts[key] = count
        is_locked = count.failures >= self._rule.failures
        if is_locked:
            self.lock(key, now)
        self._drop_oldest(now)
        return is_locked

    def lock(self, key: str, now: float) -> None:
        """Lock a key as its last failure does."""
        count = self._counts.pop(key, LockoutCount(0, now, 0, now))
        until = now + min(self._rule.lock_s * 2**count.locks, self._rule.lock_max_s)
        self._counts[key] = LockoutCount(0, until, min(count.locks + 1, LOCKS_MAX), until)

    def note_success(self, key: str) -> bool:
        """Forget the failures of a person after a right credential; return if there were any.

        Not for readers: a person with a right PIN could guess those of others in between.
        """
        return self._counts.pop(key, None) is not None

    def counts(self, now: float) -> dict[str, LockoutCount]:
        """Return the counts that are not forgotten, by key."""
        window_s = self._rule.window_s
        return {key: count for key, count in self._counts.items() if now - count.since < window_s}

    def restore(self, key: str, count: LockoutCount) -> None:
        """Take a count of an earlier run."""
        self._counts[key] = count

    def _drop_oldest(self, now: float) -> None:
        if len(self._counts) <= KEYS_MAX:
            return
        unlocked = (key for key, count in self._counts.items() if count.locked_until <= now)
        del self._counts[next(unlocked, next(iter(self._counts)))]
