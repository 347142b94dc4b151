"""Feed of new events: subscribers, restarts, replaced and unreadable logs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge.audit.segments import list_segments
from edge.console.records import feed as feed_module
from edge.console.records.cursor import Cursor, parse_cursor, parse_event_id
from edge.console.records.events import Event, EventFilter
from edge.console.records.feed import RecordFeed
from edge.errors import RecordError
from tests.edge.console.logs import BEGAN, SampleLog
from tests.processes import until

TIMEOUT_S = 60.0


@pytest.fixture
def decisions(tmp_path: Path) -> Iterator[SampleLog]:
    log = SampleLog(tmp_path / "decisions")
    yield log
    log.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[SampleLog]:
    log = SampleLog(tmp_path / "door", began=BEGAN + 0.5)
    yield log
    log.close()


@pytest.fixture
def feed(decisions: SampleLog, door: SampleLog) -> Iterator[RecordFeed]:
    decisions.fill(3)
    made = make_feed(decisions, door)
    yield made
    made.close()


def make_feed(*logs: SampleLog, seen: list[Event] | None = None) -> RecordFeed:
    observers = [] if seen is None else [seen.append]
    made = RecordFeed(lambda: ([log.file for log in logs], ""), observers)
    made.start()
    return made


def collect(feed: RecordFeed, cursor: Cursor, count: int) -> list[tuple[str, str]]:
    """Return id and cursor of the next events."""

    async def receive() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        with feed.register() as changed:
            events = feed.follow(cursor, changed)
            while len(found) < count:
                event, after = await anext(events)
                found.append((f"{event.log}:{event.id.number}", after))
            await events.aclose()  # type: ignore[attr-defined]
        return found

    return asyncio.run(asyncio.wait_for(receive(), TIMEOUT_S))


def ids(found: Sequence[tuple[str, str]]) -> list[str]:
    return [each for each, _ in found]


def wait_for(feed: RecordFeed, log: str, number: int) -> None:
    until(lambda: feed.status()[0][log].newest >= number, f"the feed reads {log}:{number}")


def test_subscriber_gets_new_events(feed: RecordFeed, door: SampleLog) -> None:
    cursor = feed.position()
    door.append(event="unlocked", reason="pulse")
    door.append(event="relocked", reason="pulse-ended")
    found = collect(feed, cursor, 2)
    assert ids(found) == ["door:1", "door:2"]
    door.append(event="unlocked", reason="pulse")
    assert ids(collect(feed, parse_cursor(found[0][1]), 2)) == ["door:2", "door:3"]


def test_subscriber_waits_without_reading(feed: RecordFeed, door: SampleLog) -> None:
    """A subscriber at the end gets an event that is written while it waits."""

    async def receive() -> str:
        with feed.register() as changed:
            events = feed.follow(feed.position(), changed)
            pending = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            await asyncio.to_thread(door.append, event="unlocked", reason="pulse")
            event, _ = await pending
            await events.aclose()  # type: ignore[attr-defined]
        return str(event.record["event"])

    assert asyncio.run(asyncio.wait_for(receive(), TIMEOUT_S)) == "unlocked"


def test_resume_loses_and_repeats_nothing(decisions: SampleLog, door: SampleLog) -> None:
    """The feed stops and starts between events; segments rotate; the door's log restarts."""
    found: list[str] = []
    cursor: Cursor = {}
    for turn in range(6):
        decisions.fill(5)
        feed = make_feed(decisions, door)
        decisions.fill(3)
        door.append(event="unlocked", reason="pulse")
        if turn % 2:
            door.restart()
        got = collect(feed, cursor, 7)
        cursor = parse_cursor(got[-1][1])
        found += ids(got)
        feed.close()
    feed = make_feed(decisions, door)
    found += ids(collect(feed, cursor, 6 * 9 - len(found)))
    feed.close()
    expected = [f"decisions:{n}" for n in range(1, 49)] + [f"door:{n}" for n in range(1, 7)]
    assert sorted(found) == sorted(expected)
    assert len(list_segments(decisions.file.folder)) > 3


def test_slow_subscriber_reads_from_files(
    feed: RecordFeed, decisions: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "RECENT_MAX", 4)
    cursor = feed.position()
    decisions.fill(30)
    wait_for(feed, "decisions", 33)
    assert ids(collect(feed, cursor, 30)) == [f"decisions:{n}" for n in range(4, 34)]
    assert ids(collect(feed, {}, 33)) == [f"decisions:{n}" for n in range(1, 34)]


def test_subscriber_follows_log_started_again(
    feed: RecordFeed, decisions: SampleLog, tmp_path: Path
) -> None:
    decisions.fill(2)
    wait_for(feed, "decisions", 5)
    cursor = feed.position()
    shutil.move(decisions.file.folder, tmp_path / "moved")
    again = SampleLog(decisions.file.folder, began=BEGAN + 1000)
    again.fill(3)
    assert ids(collect(feed, cursor, 3)) == ["decisions:1", "decisions:2", "decisions:3"]
    until(lambda: feed.status()[0]["decisions"].newest == 3, "the feed follows the new log")
    cursor = feed.position()
    again.fill(1)
    assert ids(collect(feed, cursor, 1)) == ["decisions:4"]
    again.close()


def test_unreadable_log_leaves_the_others(
    feed: RecordFeed, decisions: SampleLog, door: SampleLog, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.move(decisions.file.folder, moved)
    decisions.file.folder.write_text("in the way")
    until(lambda: bool(feed.status()[0]["decisions"].error), "the feed notices the fault")
    cursor = feed.position()
    door.append(event="unlocked", reason="pulse")
    found = collect(feed, cursor, 1)
    assert ids(found) == ["door:1"]
    decisions.file.folder.unlink()
    shutil.move(moved, decisions.file.folder)
    decisions.fill(1)
    assert ids(collect(feed, parse_cursor(found[0][1]), 1)) == ["decisions:4"]
    until(lambda: not feed.status()[0]["decisions"].error, "the fault is over")


def test_log_found_later_is_read_from_its_start(
    decisions: SampleLog, door: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "LOGS_POLLS", 1)
    logs = [decisions]
    feed = RecordFeed(lambda: ([log.file for log in logs], ""))
    feed.start()
    cursor = feed.position()
    door.append(event="started", reason="normal")
    logs.append(door)
    assert ids(collect(feed, cursor, 1)) == ["door:1"]
    feed.close()


def test_observer_sees_new_events_only(decisions: SampleLog, door: SampleLog) -> None:
    seen: list[Event] = []
    decisions.fill(5)
    feed = make_feed(decisions, door, seen=seen)
    decisions.fill(2)
    until(lambda: len(seen) == 2, "the observer sees both")
    feed.close()
    assert [event.id.number for event in seen] == [6, 7]


def test_faulty_observer_ends_nothing(decisions: SampleLog) -> None:
    calls: list[Event] = []

    def observe(event: Event) -> None:
        calls.append(event)
        raise ValueError("a fault of the observer")

    feed = RecordFeed(lambda: ([decisions.file], ""), [observe])
    feed.start()
    decisions.fill(2)
    until(lambda: len(calls) == 2, "both are observed")
    assert feed.is_running
    feed.close()


def test_subscribers_are_limited(feed: RecordFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SUBSCRIBERS_MAX", 0)
    with pytest.raises(RecordError, match="at most 0 subscribers"):
        collect(feed, {}, 1)


def test_find_by_id(feed: RecordFeed) -> None:
    event = feed.find(parse_event_id("decisions:2"))
    assert event is not None and event.record["subject"] == "Ben"
    assert feed.find(event.id) is not None
    other = parse_event_id(f"decisions:2:{'0' * 16}")
    unknown = [parse_event_id(text) for text in ("decisions:99", "console:1")]
    assert [feed.find(each) for each in (other, *unknown)] == [None] * 3
    with pytest.raises(RecordError, match="expected one of decisions, door"):
        feed.read_page(EventFilter(log="windows"), 10)


def test_clock_step_keeps_the_order_of_a_log(tmp_path: Path) -> None:
    """Records whose clock went back are not sorted before earlier ones."""
    back = SampleLog(tmp_path / "decisions", step_s=-10.0)
    door = SampleLog(tmp_path / "door")
    feed = make_feed(back, door)
    cursor = feed.position()
    for _ in range(5):
        back.decide()
        door.append(event="unlocked", reason="pulse")
    found = ids(collect(feed, cursor, 10))
    for name in ("decisions", "door"):
        assert [each for each in found if each.startswith(name)] == [
            f"{name}:{number}" for number in range(1, 6)
        ]
    feed.close()
    for log in (back, door):
        log.close()
