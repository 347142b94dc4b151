"""Password hashes."""

from __future__ import annotations

import threading

from edge.console.accounts.passwords import PasswordHasher, TooManyLoginsError
from tests.processes import until


def test_password_hash_verifies() -> None:
    hasher = PasswordHasher(time_cost=1, memory_kib=64)
    stored = hasher.hash("a password")
    assert stored.startswith("$argon2id$")
    assert hasher.is_valid(stored, "a password")
    assert not hasher.is_valid(stored, "another")
    assert not hasher.is_valid(None, "a password")
    assert not hasher.is_valid("no hash", "a password")


def test_password_hashing_is_bounded() -> None:
    hasher = PasswordHasher(time_cost=1, memory_kib=8192)
    refused = threading.Event()

    def verify() -> None:
        try:
            while not refused.is_set():
                hasher.is_valid(None, "guess")
        except TooManyLoginsError:
            refused.set()

    threads = [threading.Thread(target=verify) for _ in range(12)]
    for thread in threads:
        thread.start()
    until(refused.is_set, "a refused login")
    for thread in threads:
        thread.join()
    assert hasher.is_valid(hasher.hash("p"), "p"), "waiting logins have left their places"
