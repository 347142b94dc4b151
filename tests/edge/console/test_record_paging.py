"""Pages of events over several logs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.audit.segments import list_segments
from edge.console.records import paging
from edge.console.records.cursor import format_cursor, parse_cursor, parse_event_id
from edge.console.records.events import EventFilter
from edge.console.records.log_file import TimeSpan, entry_id
from edge.console.records.paging import Page, read_newer, read_older
from edge.errors import RecordError
from tests.edge.console.logs import BEGAN, SampleLog

ALL = EventFilter()


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[list[SampleLog]]:
    """Decisions each second, door events half a second later; several segments each."""
    decisions = SampleLog(tmp_path / "decisions")
    door = SampleLog(tmp_path / "door", began=BEGAN + 0.5)
    for number in range(20):
        decisions.decide("Ada" if number % 2 else "Ben", "refused" if number % 5 else "grant")
        door.append(event="unlocked", reason="pulse", lane="in" if number % 2 else "out")
    assert len(list_segments(door.file.folder)) > 2
    yield [decisions, door]
    decisions.close()
    door.close()


def walk(logs: list[SampleLog], wanted: EventFilter, limit: int, *, newer: bool) -> list[Page]:
    """Read all pages in one direction."""
    files = [log.file for log in logs]
    found = [
        read_newer(files, wanted, {}, limit) if newer else read_older(files, wanted, None, limit)
    ]
    while True:
        page = found[-1]
        if newer:
            if not page.events and not page.is_partial:
                return found
            found.append(read_newer(files, wanted, parse_cursor(page.newer), limit))
        elif page.older is None:
            return found
        else:
            found.append(read_older(files, wanted, parse_cursor(page.older), limit))


def numbers(found: list[Page]) -> list[str]:
    return [f"{event.log}:{event.id.number}" for page in found for event in page.events]


EXPECTED = [f"{log}:{number}" for number in range(1, 21) for log in ("decisions", "door")]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_have_each_event_once(logs: list[SampleLog], limit: int) -> None:
    assert numbers(walk(logs, ALL, limit, newer=True)) == EXPECTED
    assert numbers(walk(logs, ALL, limit, newer=False)) == EXPECTED[::-1]


def test_page_cursors_lead_back(logs: list[SampleLog]) -> None:
    files = [log.file for log in logs]
    first = read_older(files, ALL, None, 5)
    second = read_older(files, ALL, parse_cursor(first.older or ""), 5)
    back = read_newer(files, ALL, parse_cursor(second.newer), 5)
    assert numbers([back]) == numbers([first])[::-1]
    again = read_older(files, ALL, parse_cursor(back.older or ""), 5)
    assert numbers([again]) == numbers([second])
    logs[1].append(event="relocked", reason="pulse-ended")
    assert numbers([read_newer(files, ALL, parse_cursor(first.newer), 5)]) == ["door:21"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventFilter(kind="decision"), 20),
        (EventFilter(kind="unlocked"), 20),
        (EventFilter(kind="grant"), 4),
        (EventFilter(verdict="refused"), 16),
        (EventFilter(reason="pulse"), 20),
        (EventFilter(subject="ada "), 0),
        (EventFilter(subject=" Ada"), 10),
        (EventFilter(lane="in"), 10),
        (EventFilter(log="door", lane="in"), 10),
        (EventFilter(log="decisions", lane="in"), 0),
        (EventFilter(times=TimeSpan(since=BEGAN + 10)), 20),
        (EventFilter(times=TimeSpan(until=BEGAN + 10)), 20),
        (EventFilter(subject="Ben", times=TimeSpan(BEGAN + 4, BEGAN + 8)), 2),
    ],
)
def test_filter_selects(logs: list[SampleLog], wanted: EventFilter, expected: int) -> None:
    for newer in (True, False):
        found = numbers(walk(logs, wanted, 3, newer=newer))
        assert len(found) == len(set(found)) == expected


def test_search_limit_ends_a_page(logs: list[SampleLog], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "EXAMINED_MAX", 7)
    found = walk(logs, EventFilter(verdict="grant"), 10, newer=False)
    assert found[0].is_partial and len(found) > 5
    assert len(numbers(found)) == 4


@pytest.mark.parametrize("newer", [True, False])
def test_bytes_limit_ends_a_search_by_time(
    logs: list[SampleLog], monkeypatch: pytest.MonkeyPatch, newer: bool
) -> None:
    """Segments without a record in the range count as work, and the search makes progress."""
    monkeypatch.setattr(paging, "BYTES_MAX", 1000)
    wanted = EventFilter(log="door", times=TimeSpan(BEGAN + 9, BEGAN + 11))
    found = walk(logs, wanted, 10, newer=newer)
    assert any(page.is_partial and not page.events for page in found)
    assert len(numbers(found)) == 2


def test_page_leaves_out_unreadable_logs(logs: list[SampleLog]) -> None:
    folder = logs[0].file.folder
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    page = read_older([log.file for log in logs], ALL, None, 5)
    assert list(page.unreadable) == ["decisions"] and len(page.events) == 5


def test_page_continues_after_removed_segments(logs: list[SampleLog]) -> None:
    door = logs[1]
    cursor = parse_cursor(read_newer([door.file], ALL, {}, 2).newer)
    for path in list_segments(door.file.folder)[:2]:
        path.unlink()
    (oldest, *_) = list_segments(door.file.folder)
    first = int(oldest.stem)
    assert first > 3
    after = read_newer([door.file], ALL, cursor, 100)
    assert numbers([after])[0] == f"door:{first}" and len(after.events) == 21 - first


def test_page_of_log_started_again(logs: list[SampleLog], tmp_path: Path) -> None:
    """Numbers begin at 1 again; the events of the new log come after the old cursor."""
    door = logs[1]
    page = read_older([door.file], ALL, None, 5)
    door.close()
    shutil.move(door.file.folder, tmp_path / "moved")
    again = SampleLog(door.file.folder, began=BEGAN + 1000)
    again.fill(30)
    after = read_newer([again.file], ALL, parse_cursor(page.newer), 100)
    assert numbers([after]) == [f"door:{number}" for number in range(1, 31)]
    assert read_older([again.file], ALL, parse_cursor(page.older or ""), 100).events == []
    again.close()


def test_page_after_a_lost_end(logs: list[SampleLog]) -> None:
    """After a power cut the newest records are gone and their numbers are used again."""
    door = logs[1]
    cursor = parse_cursor(read_older([door.file], ALL, None, 1).newer)
    newest = list_segments(door.file.folder)[-1]
    door.close()
    kept = newest.read_bytes().splitlines(keepends=True)
    newest.write_bytes(b"".join(kept[:-2]))
    (door.file.folder / "state").unlink()
    assert read_newer([door.file], ALL, cursor, 100).events == []
    door.restart()
    for _ in range(3):
        door.append(event="unlocked", reason="pulse")
    after = read_newer([door.file], ALL, cursor, 100)
    assert [event.record.get("event") for event in after.events][-3:] == ["unlocked"] * 3
    assert len(after.events) <= 4  # with the record of the gap


def test_ids_of_a_log_started_again_differ(logs: list[SampleLog], tmp_path: Path) -> None:
    door = logs[1]
    entry = door.file.find(3)
    assert entry is not None
    other = SampleLog(tmp_path / "other" / "door", began=BEGAN + 0.5)
    other.fill(3)
    same_number = other.file.find(3)
    assert same_number is not None
    first, second = entry_id(entry), entry_id(same_number)
    assert first.number == second.number and first != second and not first.names(second)
    assert parse_event_id("door:3").names(first) and parse_event_id(str(first)) == first
    other.close()


def test_hostile_lines_are_left_out(logs: list[SampleLog]) -> None:
    door = logs[1].file
    newest = list_segments(door.folder)[-1]
    with newest.open("ab") as file:
        file.write(b'{"id":7,"wall":1}\n{"id":99,"wall":1' + b"x" * 70_000 + b"\n")
        file.write(
            b'{"id":98,"wall":"now"}\n\n\xff\xfe\n{"id":97,"wall":5.0,"event":"x"}\tjunk\n{"id"'
        )
    found = numbers(walk([logs[1]], ALL, 6, newer=False))
    assert found[0] == "door:97" and found[1:] == [f"door:{n}" for n in range(20, 0, -1)]


@pytest.mark.parametrize(
    "text", ["door", "door:x", "door:1:12", "../etc:1", "door:1,door:2", "d:1," * 1000, "door:-1"]
)
def test_invalid_cursor_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="expected"):
        parse_cursor(text)


def test_cursor_text_is_stable() -> None:
    text = "decisions:7:6b49d20012345678,door:12"
    assert format_cursor(parse_cursor(text)) == text
    assert format_cursor(parse_cursor("start")) == "start"
