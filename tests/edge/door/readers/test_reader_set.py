"""Readers in threads: one that is lost, floods or hangs yields one event and delays no one."""

from __future__ import annotations

import logging
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from edge.door.readers.events import (
    CardRead,
    PinEntered,
    ReaderEvent,
    ReaderFlooding,
    ReaderFound,
    ReaderInput,
    ReaderLost,
    ReaderState,
)
from edge.door.readers.reader_set import ReaderSet
from edge.errors import DoorError

CARD = CardRead(0x1234, 26)
DEADLINE_S = 10.0


class ScriptedReader:
    """Reader whose inputs and failures a test puts into a queue."""

    def __init__(self) -> None:
        self.steps: queue.Queue[ReaderInput | Exception | threading.Event] = queue.Queue()

    def open(self) -> None: ...

    def close(self) -> None: ...

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        try:
            step = self.steps.get(timeout=min(timeout_s, 0.02))
        except queue.Empty:
            return ()
        if isinstance(step, Exception):
            raise step
        if isinstance(step, threading.Event):
            step.wait(DEADLINE_S)
            return ()
        return (step,)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader() -> ScriptedReader:
    return ScriptedReader()


@pytest.fixture
def readers(reader: ScriptedReader, clock: Clock) -> Iterator[ReaderSet]:
    readers = ReaderSet({"in": reader}, clock)
    assert events(readers, 1) == [ReaderFound()]
    yield readers
    readers.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        threading.Event().wait(0.005)


def events(readers: ReaderSet, count: int) -> list[ReaderEvent]:
    """Return events, at least `count`."""
    found: list[ReaderEvent] = []

    def is_complete() -> bool:
        found.extend(report.event for report in readers.take())
        return len(found) >= count

    wait_for(is_complete)
    return found


def test_readers_wake_the_loop(readers: ReaderSet, reader: ScriptedReader) -> None:
    wait_for(lambda: not readers.take() and not select.select([readers], [], [], 0)[0])
    reader.steps.put(CARD)
    assert select.select([readers], [], [], DEADLINE_S)[0]
    (report,) = readers.take()
    assert (report.reader, report.event) == ("in", CARD)


@pytest.mark.parametrize("error", [DoorError("unplugged"), ValueError("card 1234")])
def test_reader_lost_once_and_found(
    readers: ReaderSet, reader: ScriptedReader, error: Exception
) -> None:
    reader.steps.put(error)
    lost, found = events(readers, 2)
    assert isinstance(lost, ReaderLost) and found == ReaderFound()
    assert "1234" not in lost.why
    assert readers.states() == {"in": (ReaderState.READY, "")}


def test_reader_not_opened_is_lost_once(clock: Clock) -> None:
    class Missing(ScriptedReader):
        attempts = 0

        def open(self) -> None:
            self.attempts += 1
            raise DoorError("not there")

    missing = Missing()
    readers = ReaderSet({"in": missing}, clock)
    wait_for(lambda: missing.attempts >= 2)
    assert events(readers, 1) == [ReaderLost("not there")]
    assert readers.states() == {"in": (ReaderState.DISCONNECTED, "not there")}
    readers.close()


def test_reader_close_failure_reconnects(clock: Clock) -> None:
    class Stuck(ScriptedReader):
        def close(self) -> None:
            raise RuntimeError("released already")

    stuck = Stuck()
    readers = ReaderSet({"in": stuck}, clock)
    stuck.steps.put(DoorError("unplugged"))
    assert events(readers, 3) == [ReaderFound(), ReaderLost("unplugged"), ReaderFound()]
    readers.close()


def test_reader_flood_is_one_event(
    readers: ReaderSet, reader: ScriptedReader, clock: Clock
) -> None:
    for _ in range(500):
        reader.steps.put(CARD)
    wait_for(reader.steps.empty)
    assert events(readers, 11) == [CARD] * 10 + [ReaderFlooding()]
    clock.now += 3.0
    assert events(readers, 1) == [ReaderFound()]
    reader.steps.put(CARD)
    assert events(readers, 1) == [CARD]


def test_reader_hang_is_one_event(readers: ReaderSet, reader: ScriptedReader, clock: Clock) -> None:
    hang = threading.Event()
    reader.steps.put(hang)
    wait_for(reader.steps.empty)
    clock.now += 6.0
    assert [type(event) for event in events(readers, 1)] == [ReaderLost]
    clock.now += 6.0
    assert readers.take() == []
    hang.set()
    assert events(readers, 1) == [ReaderFound()]


def test_reader_hang_does_not_block_another(clock: Clock) -> None:
    hung, works = ScriptedReader(), ScriptedReader()
    readers = ReaderSet({"hung": hung, "works": works}, clock)
    assert events(readers, 2) == [ReaderFound()] * 2
    hang = threading.Event()
    hung.steps.put(hang)
    works.steps.put(PinEntered("4711"))
    assert events(readers, 1) == [PinEntered("4711")]
    hang.set()
    readers.close()


def test_readers_queue_is_bounded(readers: ReaderSet, reader: ScriptedReader, clock: Clock) -> None:
    for _ in range(200):
        reader.steps.put(CARD)
        wait_for(reader.steps.empty)
        clock.now += 1.0
    assert len(readers.take()) <= 64


def test_reader_content_is_never_logged(
    readers: ReaderSet, reader: ScriptedReader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pin, card = PinEntered("907150"), CardRead(0x907150, 26)
    for step in (pin, card, ValueError("pin 907150"), pin, *[card] * 20):
        reader.steps.put(step)
    seen = events(readers, 13)
    wait_for(reader.steps.empty)
    shown = f"{caplog.text} {seen!r} {readers.take()!r} {readers.states()!r}"
    assert "reader in: disconnected" in shown and pin in seen
    for secret in ("907150", str(0x907150), hex(0x907150)):
        assert secret not in shown
