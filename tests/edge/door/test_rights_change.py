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
    st.one_of(st.none(), st.integers(1, 3)),
    st.sampled_from([None, "face", "pin-and-face"]),
    st.booleans(),
)


def allowed_days(one: PersonRights) -> set[date]:
    first, last = one.valid_from or date.min, one.valid_until or date.max
    return {day for day in DAYS if first <= day <= last}


@given(one=rights, other=rights)
def test_narrow_opens_no_more_than_each(one: PersonRights, other: PersonRights) -> None:
    narrowed = narrow(one, other)
    is_comparable = one.mode == other.mode  # None: the configured one, which can be any
    shared = allowed_days(one) & allowed_days(other) if is_comparable else set()
    assert allowed_days(narrowed) == shared
    if is_comparable:
        assert narrowed.mode == one.mode
    assert (narrowed.max_uses or 9) == min(one.max_uses or 9, other.max_uses or 9)
    exempt = one.anti_passback_exempt and other.anti_passback_exempt
    assert narrowed.anti_passback_exempt == exempt
    assert set(narrowed.groups) == set(one.groups) & set(other.groups)
    assert narrowed.extended == (one.extended and other.extended)
    is_limited = one.is_limited or other.is_limited
    assert narrowed.is_limited == is_limited  # also refused while the clock is not trusted
