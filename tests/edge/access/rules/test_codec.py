"""Text of the zones: one line for each person, and any other layout of the same JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.rules.codec import ContentCodec
from edge.access.rules.content import ZoneContent
from edge.access.rules.state import PendingPassage, Presence, parse_state

NAMES = st.text(min_size=1, max_size=12)
PRESENCES = st.builds(
    Presence,
    is_inside=st.none() | st.booleans(),
    wall_s=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    is_counted=st.booleans(),
)
STATES = st.builds(
    lambda people, counts, known: {
        "is_known": known,
        "people": {
            zone: {name: one.model_dump() for name, one in found.items()}
            for zone, found in people.items()
        },
        "counts": counts,
        "pending": [],
    },
    st.dictionaries(NAMES, st.dictionaries(NAMES, PRESENCES, max_size=4), max_size=3),
    st.dictionaries(NAMES, st.integers(0, 1_000_000), max_size=3),
    st.booleans(),
)


def make(*people: str) -> ZoneContent:
    presence = Presence(is_inside=True, wall_s=1.5)
    content = ZoneContent(people={"lab": dict.fromkeys(people, presence)}, counts={"lab": 2})
    content.counted["lab"] = set(people)
    return content


@given(STATES, STATES)
def test_text_is_the_json_of_the_state(first: object, second: object) -> None:
    writer, reader = ContentCodec(), ContentCodec()
    for value in (first, second, first):
        content = ZoneContent.from_state(parse_state(value))
        text = writer.encode(content)
        assert ZoneContent.from_state(parse_state(json.loads(text))) == content
        assert reader.decode(text) == content == writer.decode(text)
        assert [list(each) for each in reader.decode(text).people.values()] == [
            list(each) for each in content.people.values()
        ]


def test_each_person_has_a_line() -> None:
    content = make("Ada", "Ben")
    content.pending.append(
        PendingPassage(
            person="Cleo", lane="in", zone="lab", is_entry=True, is_counted=False, wall_s=None
        )
    )
    lines = ContentCodec().encode(content).decode().split("\n")
    assert len(lines) == 6 and lines[2].startswith('"Ada": {') and "Cleo" in lines[0]


def test_known_lines_are_not_parsed_again() -> None:
    reader = ContentCodec()
    first = reader.decode(ContentCodec().encode(make("Ada", "Ben")))
    second = reader.decode(ContentCodec().encode(make("Ada", "Cleo")))
    assert second.people["lab"]["Ada"] is first.people["lab"]["Ada"]
    assert list(second.people["lab"]) == ["Ada", "Cleo"]


@pytest.mark.parametrize("indent", [None, 1])
def test_other_layouts_are_read(indent: int | None) -> None:
    value = json.loads(ContentCodec().encode(make("Ada", "Ben")))
    reader = ContentCodec()
    assert reader.decode(json.dumps(value, indent=indent).encode()) == make("Ada", "Ben")
    assert reader.decode(ContentCodec().encode(make("Ben"))) == make("Ben")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("true", "1"), ("1.5", "NaN"), ('"Ada": ', '"Ada\n": '), ("}}", "}"), ("}}", "}}\n}"),
        ("version", "versions"), ('"Ada"', '""'), ("is_inside", "is_outside"), ("}", "]"),
        ("{", ""),
    ],
)  # fmt: skip
def test_invalid_texts_are_refused(old: str, new: str) -> None:
    text = ContentCodec().encode(make("Ada", "Ben")).decode()
    with pytest.raises(ValueError, match=r"^zone state: "):
        ContentCodec().decode(text.replace(old, new).encode())


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"version": 2}'])
def test_other_content_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^zone state: "):
        ContentCodec().decode(text)
