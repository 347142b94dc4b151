"""Wiegand frames from edges: what arrives wrong is never another card."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.config.readers import WiegandReaderConfig
from edge.door.readers.card_formats import STANDARD_FORMATS
from edge.door.readers.events import (
    CardRead,
    Malformation,
    PinEntered,
    ReaderInput,
    ReadMalformed,
)
from edge.door.readers.opening import wiegand_format
from edge.door.readers.wiegand_decoder import KeyPressed, WiegandDecoder, WiegandRead
from edge.door.readers.wiegand_reader import LineEdge, WiegandReader
from edge.errors import DoorError
from edge.parsing import parse_json

BIT_NS = 1_000_000
CARD = STANDARD_FORMATS[26].encode(12, 3456)
Edges = Sequence[tuple[int, int]]  # line and nanoseconds

cards = st.sampled_from(sorted(STANDARD_FORMATS)).flatmap(
    lambda bits: st.builds(
        STANDARD_FORMATS[bits].encode, st.integers(0, 255), st.integers(0, 65535)
    )
)


def config(**keys: object) -> WiegandReaderConfig:
    values = {"kind": "wiegand", "name": "in", "chip": "/dev/gpiochip0", "d0": 1, "d1": 2}
    return WiegandReaderConfig.model_validate(values | keys)


def edges_of(card: CardRead, start_ns: int = 0) -> list[tuple[int, int]]:
    lines = [card.data >> (card.bits - 1 - place) & 1 for place in range(card.bits)]
    return [(line, start_ns + place * BIT_NS) for place, line in enumerate(lines)]


def decode(edges: Edges, **keys: object) -> list[WiegandRead]:
    decoder = WiegandDecoder(wiegand_format(config(**keys)))
    reads = [decoder.add_edge(line, at_ns) for line, at_ns in edges]
    reads.append(decoder.end_frame(10**15))
    return [read for read in reads if read is not None]


@given(cards, st.lists(st.floats(-0.1, 0.1), min_size=37, max_size=37))
def test_card_with_jitter_is_read(card: CardRead, jitter: list[float]) -> None:
    edges = [
        (line, at_ns + round(shift * BIT_NS))
        for (line, at_ns), shift in zip(edges_of(card), jitter, strict=False)
    ]
    assert decode(edges, bits=card.bits) == [card]


@given(cards, st.data())
def test_card_with_missing_bit_is_malformed(card: CardRead, data: st.DataObject) -> None:
    edges = edges_of(card)
    del edges[data.draw(st.integers(0, card.bits - 1))]
    (read,) = decode(edges, bits=card.bits)
    assert isinstance(read, ReadMalformed)


@given(cards, st.floats(0.001, 0.999), st.integers(0, 1), st.data())
def test_card_with_glitch_is_malformed(
    card: CardRead, part: float, line: int, data: st.DataObject
) -> None:
    edges = edges_of(card)
    place = data.draw(st.integers(1, card.bits - 1))
    edges.insert(place, (line, edges[place - 1][1] + round(part * BIT_NS)))
    if data.draw(st.booleans()):  # and a bit is missing, so that the length is right
        removed = data.draw(st.integers(0, card.bits))
        assume(removed != place)
        del edges[removed]
    for read in decode(edges, bits=card.bits):
        assert read == card or isinstance(read, ReadMalformed)


@given(cards, st.data())
def test_card_with_changed_bit_is_malformed(card: CardRead, data: st.DataObject) -> None:
    edges = edges_of(card)
    place = data.draw(st.integers(0, card.bits - 1))
    edges[place] = 1 - edges[place][0], edges[place][1]
    assert decode(edges, bits=card.bits) == [ReadMalformed(Malformation.PARITY)]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-(10**6), 10**9)), max_size=600))
def test_any_edges_never_raise(steps: Edges) -> None:
    at_ns, edges = 0, []
    for line, step in steps:
        at_ns += step
        edges.append((line, at_ns))
    for read in decode(edges, keypad_bits=4):
        assert isinstance(read, CardRead | KeyPressed | ReadMalformed)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ((0, 5 * BIT_NS + 1000), Malformation.BOTH_LINES),
        ((1, 5 * BIT_NS + 1000), Malformation.GLITCH),
    ],
)
def test_edge_too_close_is_malformed(extra: tuple[int, int], why: Malformation) -> None:
    edges = edges_of(CardRead((1 << 26) - 1, 26))
    assert decode([*edges[:6], extra, *edges[6:]]) == [ReadMalformed(why)]


def test_two_frames_are_separated() -> None:
    assert decode([*edges_of(CARD), *edges_of(CARD, 10**9)]) == [CARD, CARD]


def test_frame_too_long_is_malformed() -> None:
    edges = [(0, place * BIT_NS) for place in range(5000)]
    assert decode(edges) == [ReadMalformed(Malformation.LENGTH)]


@pytest.mark.parametrize(
    ("data", "bits", "expected"),
    [
        (7, 4, KeyPressed("7")),
        (10, 4, KeyPressed("clear")),
        (11, 4, KeyPressed("enter")),
        (12, 4, ReadMalformed(Malformation.SYNTAX)),
        (0b1000_0111, 8, KeyPressed("7")),
        (0b1000_0110, 8, ReadMalformed(Malformation.PARITY)),
    ],
)
def test_key_is_decoded(data: int, bits: int, expected: WiegandRead) -> None:
    assert decode(edges_of(CardRead(data, bits)), keypad_bits=bits) == [expected]


def test_custom_format_checks_its_parity() -> None:
    masks = [{"mask": "0x3f0", "odd": False}, {"mask": "0x01f", "odd": True}]
    right, wrong = CardRead(0b11_0000_0001, 10), CardRead(0b11_0001_0001, 10)
    assert decode(edges_of(right), bits=10, parity=masks) == [right]
    assert decode(edges_of(wrong), bits=10, parity=masks) == [ReadMalformed(Malformation.PARITY)]


@pytest.mark.parametrize(
    "keys", [{"bits": 32}, {"bits": 26, "parity": [{"mask": "0x7ffffff", "odd": True}]}]
)
def test_custom_format_is_checked(keys: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"parity|mask"):
        config(**keys)


class ScriptedEdges:
    """Lines whose edges a test provides."""

    def __init__(self) -> None:
        self.edges: list[LineEdge] = []
        self.error: OSError | None = None

    def wait(self, timeout_s: float) -> bool:
        if self.error:
            raise self.error
        return bool(self.edges)

    def read(self) -> Sequence[LineEdge]:
        edges, self.edges = self.edges[:16], self.edges[16:]
        return edges

    def close(self) -> None: ...


class Line:
    """A reader on scripted lines."""

    def __init__(self, **keys: object) -> None:
        self.edges, self.now_ns, self.sent = ScriptedEdges(), 0, 0
        self.reader = WiegandReader(
            lambda: self.edges, wiegand_format(config(**keys)), 5.0, lambda: self.now_ns
        )
        self.reader.open()

    def send(self, card: CardRead, lost: int = 0) -> Sequence[ReaderInput]:
        edges = [
            LineEdge(line, at_ns, self.sent + place)
            for place, (line, at_ns) in enumerate(edges_of(card, self.now_ns))
        ]
        self.sent += len(edges)
        self.edges.edges += edges[:20] + edges[20 + lost :]
        self.now_ns += 10**9
        return self.reader.poll(0)


def test_reader_reads_card_and_pin() -> None:
    line = Line(keypad_bits=4)
    assert line.send(CARD) == [CARD]
    found = [read for key in (9, 10, 1, 2, 3, 4, 11) for read in line.send(CardRead(key, 4))]
    assert found == [PinEntered("1234")]


def test_reader_pin_ends_after_a_pause() -> None:
    line = Line(keypad_bits=4)
    line.send(CardRead(1, 4))
    line.now_ns += 6 * 10**9
    line.send(CardRead(2, 4))
    assert line.send(CardRead(11, 4)) == [PinEntered("2")]


def test_reader_pin_too_long_is_malformed() -> None:
    line = Line(keypad_bits=4)
    for _ in range(50):
        assert line.send(CardRead(1, 4)) == []
    assert line.send(CardRead(11, 4)) == [ReadMalformed(Malformation.LENGTH)]


def test_reader_frame_waits_for_its_end() -> None:
    line = Line()
    edges = [LineEdge(bit, at_ns, i) for i, (bit, at_ns) in enumerate(edges_of(CARD))]
    line.edges.edges, line.now_ns = edges[:20], 19 * BIT_NS
    assert line.reader.poll(0) == []
    line.edges.edges, line.now_ns = edges[20:], 10**9
    assert line.reader.poll(0) == [CARD]


def test_reader_edges_out_of_order_are_sorted() -> None:
    line = Line()
    edges = [LineEdge(bit, at_ns, i) for i, (bit, at_ns) in enumerate(edges_of(CARD))]
    edges[3], edges[4] = edges[4], edges[3]
    line.edges.edges, line.now_ns = edges, 10**9
    assert line.reader.poll(0) == [CARD]


def test_reader_lost_edges_are_malformed() -> None:
    line = Line()
    assert line.send(CARD, lost=3) == [ReadMalformed(Malformation.INCOMPLETE)]
    assert line.send(CARD) == [CARD]


def test_reader_lost_lines_raise() -> None:
    line = Line()
    line.edges.error = OSError(19, "No such device")
    with pytest.raises(DoorError, match="No such device"):
        line.reader.poll(0)


def test_key_is_not_shown() -> None:
    assert repr(KeyPressed("7")) == "KeyPressed(hidden)"


def test_config_from_json_is_strict() -> None:
    with pytest.raises(ValueError, match="keypad_bits"):
        parse_json(
            WiegandReaderConfig,
            '{"kind": "wiegand", "name": "in", "chip": "/dev/gpiochip0", "d0": 1, "d1": 2, '
            '"keypad_bits": 5}',
        )
