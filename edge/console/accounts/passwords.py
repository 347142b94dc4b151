"""Password hashes (Argon2id), computed one at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from edge.errors import AccountError

LENGTH_MIN, LENGTH_MAX = 12, 256
_WAITING_MAX = 8


class TooManyLoginsError(AccountError):
    """More passwords wait to be checked than the console accepts."""


class PasswordHasher:
    """Hashes and verifies passwords in the thread of the caller.

    One hash at a time bounds memory and processor time: 64 MiB and one core. Further callers wait;
    if more than eight wait, TooManyLoginsError is raised.
    """

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 65536) -> None:
        self._argon2 = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=1
        )
        self._places = threading.BoundedSemaphore(_WAITING_MAX + 1)
        self._turn = threading.Lock()
        # Verified for users who do not exist: their logins take as long as others.
        self._unused = self._argon2.hash("a password of no user")

    def hash(self, password: str) -> str:
        """Return the hash to store."""
        with self._one_at_a_time():
            return self._argon2.hash(password)

    def is_valid(self, stored: str | None, password: str) -> bool:
        """Return True if the password belongs to a hash; False takes as long, also for None."""
        with self._one_at_a_time():
            try:
                self._argon2.verify(stored or self._unused, password[:LENGTH_MAX])
            except (VerificationError, InvalidHashError):
                return False
        return stored is not None

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise TooManyLoginsError("too many logins at once; try again in some seconds")
        try:
            with self._turn:
                yield
        finally:
            self._places.release()


def check_password(password: str, name: str) -> None:
    """Check a chosen password; raises AccountError."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise AccountError(
            f"the password has {len(password)} characters; expected {LENGTH_MIN} to {LENGTH_MAX}"
        )
    if len(set(password)) < 5 or name.lower() in password.lower():
        raise AccountError(
            "the password is easy to guess: it repeats few characters or contains the user name; "
            "choose another"
        )
