from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.validity import AccessRights
from edge.subject import SubjectRecord

DAY = date(2026, 5, 1)
DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@given(begin=DAYS, end=DAYS, today=DAYS)
def test_first_and_last_day_count(begin: date, end: date, today: date) -> None:
    record = SubjectRecord(valid_from=begin, valid_until=end)
    refused = AccessRights(today=lambda: today).find_refusal(record)
    assert (refused is None) == (begin <= today <= end)


@pytest.mark.parametrize(
    ("rights", "record", "reason"),
    [
        (AccessRights(), SubjectRecord(), None),
        (AccessRights(), SubjectRecord(valid_until=DAY), "clock-untrusted"),
        (AccessRights(frozenset({"staff"})), SubjectRecord(), "not-in-group"),
        (AccessRights(frozenset({"staff"})), SubjectRecord(groups=("night", "staff")), None),
        (
            AccessRights(frozenset({"staff"}), lambda: DAY),
            SubjectRecord(groups=("staff",), valid_from=DAY),
            None,
        ),
    ],
)
def test_why_not(rights: AccessRights, record: SubjectRecord, reason: str | None) -> None:
    assert rights.find_refusal(record) == reason
