"""Rights during a change: no more than those before and those after it."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge.door.rights_change import narrow
from edge.subject import PersonRights

DAYS = [date(2031, 1, 1) + timedelta(days=number) for number in range(4)]
GROUPS = ("staff", "night", "Caf\u00e9")
days = st.one_of(st.none(), st.sampled_from(DAYS))
rights = st.builds(
    PersonRights,
    st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
    days,
    days,
    st.booleans(),
)


def allowed_days(one: PersonRights) -> set[date]:
    first, last = one.valid_from or date.min, one.valid_until or date.max
    return {day for day in DAYS if first <= day <= last}


@given(one=rights, other=rights)
def test_narrow_opens_no_more_than_each(one: PersonRights, other: PersonRights) -> None:
    narrowed = narrow(one, other)
    assert allowed_days(narrowed) == allowed_days(one) & allowed_days(other)
    assert set(narrowed.groups) == set(one.groups) & set(other.groups)
    assert narrowed.extended == (one.extended and other.extended)
    is_limited = one.is_limited or other.is_limited
    assert narrowed.is_limited == is_limited  # also refused while the clock is not trusted
