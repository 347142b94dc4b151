"""PINs are hashed away from the door's loop, with a deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edge.door.credential_hashes import CredentialHasher
from edge.door.pin_hasher import HashedPin, PinHasher

DEADLINE_S = 20.0


class GatedHasher(CredentialHasher):
    """Hasher that waits until a test lets it go on."""

    def __init__(self) -> None:
        super().__init__(b"k" * 32, b"s" * 32)
        self.gate = threading.Event()

    def hash_pin(self, digits: str) -> str:
        self.gate.wait(DEADLINE_S)
        return f"digest of {digits}"


@pytest.fixture
def hasher() -> GatedHasher:
    return GatedHasher()


@pytest.fixture
def woken() -> threading.Event:
    return threading.Event()


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def pins(hasher: GatedHasher, woken: threading.Event, now: list[float]) -> Iterator[PinHasher]:
    pins = PinHasher(lambda: now[0], woken.set)
    yield pins
    hasher.gate.set()
    pins.close()


def test_pin_is_hashed_in_a_thread(
    pins: PinHasher, hasher: GatedHasher, woken: threading.Event
) -> None:
    assert pins.start("in", hasher, "1234")
    assert pins.take() == []
    hasher.gate.set()
    assert woken.wait(DEADLINE_S)
    assert pins.take() == [HashedPin("in", "digest of 1234")]
    assert pins.take() == []


def test_pin_late_is_answered_once(
    pins: PinHasher, hasher: GatedHasher, woken: threading.Event, now: list[float]
) -> None:
    assert pins.start("in", hasher, "1234")
    now[0] = 5.0
    assert pins.take() == [HashedPin("in", None)]
    hasher.gate.set()
    assert woken.wait(DEADLINE_S)
    assert pins.take() == []


def test_pins_waiting_are_bounded(pins: PinHasher, hasher: GatedHasher) -> None:
    accepted = [pins.start("in", hasher, "1234") for _ in range(20)]
    assert 4 <= sum(accepted) <= 5


def test_pin_without_memory_is_no_match(pins: PinHasher, woken: threading.Event) -> None:
    class FullHasher(CredentialHasher):
        def hash_pin(self, digits: str) -> str:
            raise MemoryError

    assert pins.start("in", FullHasher(b"k" * 32, b"s" * 32), "1234")
    assert woken.wait(DEADLINE_S)
    assert pins.take() == [HashedPin("in", None)]
