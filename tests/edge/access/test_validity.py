from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.validity import AccessRights
from edge.subject import SubjectRecord
from tests.builders import make_rights

DAY = date(2026, 5, 1)
DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@given(begin=DAYS, end=DAYS, today=DAYS)
def test_first_and_last_day_count(begin: date, end: date, today: date) -> None:
    record = SubjectRecord(valid_from=begin, valid_until=end)
    refused = make_rights(today=lambda: today).find_refusal(record)
    assert (refused is None) == (begin <= today <= end)


@pytest.mark.parametrize(
    ("rights", "record", "reason"),
    [
        (make_rights(), SubjectRecord(), None),
        (make_rights(), SubjectRecord(valid_until=DAY), "clock-untrusted"),
        (make_rights(frozenset({"staff"})), SubjectRecord(), "not-in-group"),
        (make_rights(frozenset({"staff"})), SubjectRecord(groups=("night", "staff")), None),
        (
            make_rights(frozenset({"staff"}), lambda: DAY),
            SubjectRecord(groups=("staff",), valid_from=DAY),
            None,
        ),
    ],
)
def test_why_not(rights: AccessRights, record: SubjectRecord, reason: str | None) -> None:
    assert rights.find_refusal(record) == reason
