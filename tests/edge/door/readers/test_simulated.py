"""Simulated reader: lines on a datagram socket, hostile ones included."""

from __future__ import annotations

import select
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load_config
from edge.door.readers.events import (
    CardRead,
    Malformation,
    PinEntered,
    ReaderInput,
    ReaderReport,
    ReadMalformed,
)
from edge.door.readers.opening import open_readers
from edge.door.readers.simulated import SimulatedReader, parse_line
from edge.errors import ConfigError, DoorError

MALFORMED = ReadMalformed(Malformation.SYNTAX)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[SimulatedReader]:
    reader = SimulatedReader(tmp_path / "reader.sock")
    reader.open()
    yield reader
    reader.close()


def write_config(folder: Path, readers: str) -> Path:
    path = folder / "terminal.yaml"
    path.write_text(
        "bundle: bundle\ncamera: {kind: opencv, source: 0}\nliveness: {kind: none}\n"
        f"door: {{readers: {readers}}}\n"
    )
    return path


def test_simulated_is_chosen_by_kind(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path, "[{kind: simulated, name: in, path: in.sock}]"))
    readers = open_readers(config.door.readers, config.door.panel, time.monotonic)
    assert select.select([readers], [], [], 10.0)[0]
    readers.take()
    send(tmp_path / "in.sock", b"pin 1234")
    found: list[ReaderReport] = []
    while not found:  # a wake-up may be left over
        assert select.select([readers], [], [], 10.0)[0]
        found = readers.take()
    readers.close()
    assert [(report.reader, report.event) for report in found] == [("in", PinEntered("1234"))]


@pytest.mark.parametrize(
    ("readers", "why"),
    [
        (
            "[{kind: simulated, name: in, path: a}, {kind: simulated, name: in, path: b}]",
            "the name in",
        ),
        ("[{kind: simulated, name: in, path: a, lane: lab}]", "which does not lead"),
        ("[{kind: simulated, name: in}]", "path"),
    ],
)
def test_readers_config_is_checked(tmp_path: Path, readers: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_config(write_config(tmp_path, readers))


def send(path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(line, str(path))


def test_simulated_reads_cards_and_pins(reader: SimulatedReader, tmp_path: Path) -> None:
    path = tmp_path / "reader.sock"
    send(path, b"card 26:12:3456\n")
    send(path, b"pin 1234\n")
    send(path, b"\xff" * 4000)
    assert [reader.poll(1.0) for _ in range(3)] == [
        (CardRead(0x0181B01, 26),),
        (PinEntered("1234"),),
        (MALFORMED,),
    ]
    assert reader.poll(0.0) == ()


def test_simulated_socket_is_private(reader: SimulatedReader, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "reader.sock").stat().st_mode) == 0o600


def test_simulated_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DoorError, match="check the folder"):
        SimulatedReader(tmp_path / "file" / "reader.sock").open()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"card 0001234567", CardRead(0x0001234567, 40)),
        (b"card 0x1f/8", CardRead(0x1F, 8)),
        (b"card 0x1ff/8", MALFORMED),
        (b"card 26:256:1", MALFORMED),
        (b"card 27:1:1", MALFORMED),
        (b"pin", MALFORMED),
        (b"pin 12345678901234", MALFORMED),
        ("pin ١٢٣٤".encode(), MALFORMED),
        (b"", MALFORMED),
    ],
)
def test_simulated_line(line: bytes, expected: ReaderInput) -> None:
    assert parse_line(line) == expected


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b"card " + tail))
def test_simulated_line_never_raises(line: bytes) -> None:
    assert isinstance(parse_line(line), CardRead | PinEntered | ReadMalformed)


@given(st.text("0123456789", min_size=4, max_size=12))
def test_events_hide_their_content(digits: str) -> None:
    card = CardRead(int(digits), 64)
    assert repr(card) == "CardRead(hidden)"
    assert repr(PinEntered(digits)) == "PinEntered(hidden)"
