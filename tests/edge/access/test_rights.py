from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.attempts import Attempts
from edge.access.rights import Rights
from edge.subject import SubjectRecord

DAY = date(2026, 5, 1)
DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@given(begin=DAYS, end=DAYS, today=DAYS)
def test_first_and_last_day_count(begin: date, end: date, today: date) -> None:
    record = SubjectRecord(valid_from=begin, valid_until=end)
    refused = Rights(today=lambda: today).refuses(record)
    assert (refused is None) == (begin <= today <= end)


@pytest.mark.parametrize(
    ("rights", "record", "reason"),
    [
        (Rights(), SubjectRecord(), None),
        (Rights(), SubjectRecord(valid_until=DAY), "clock-in-doubt"),
        (Rights(frozenset({"staff"})), SubjectRecord(), "not-in-group"),
        (Rights(frozenset({"staff"})), SubjectRecord(groups=("night", "staff")), None),
        (
            Rights(frozenset({"staff"}), lambda: DAY),
            SubjectRecord(groups=("staff",), valid_from=DAY),
            None,
        ),
    ],
)
def test_why_not(rights: Rights, record: SubjectRecord, reason: str | None) -> None:
    assert rights.refuses(record) == reason


def test_one_face_is_one_attempt_for_a_while() -> None:
    attempts = Attempts(1)
    for tenth in range(90):
        attempts.unknown(1, tenth / 10)
    assert not attempts.is_closed(9.0)
    attempts.unknown(1, 10.0)
    assert attempts.is_closed(10.0) and attempts.is_closed(69.9) and not attempts.is_closed(70.0)


@given(times=st.lists(st.floats(0, 600), max_size=60), limit=st.integers(1, 5))
def test_never_closed_for_few_and_always_for_many(times: list[float], limit: int) -> None:
    attempts = Attempts(limit)
    seen: list[float] = []
    for track, at in enumerate(sorted(times)):
        attempts.unknown(track, at)
        seen.append(at)
        if sum(at - s < 60 for s in seen) > limit:
            assert attempts.is_closed(at)
    if len(times) <= limit:
        assert not any(attempts.is_closed(at) for at in times)
