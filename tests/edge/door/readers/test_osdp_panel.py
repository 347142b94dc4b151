"""The terminal as control panel of an OSDP reader, against libosdp's own reader."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config.osdp import OsdpReaderConfig
from edge.door.readers.events import (
    CardRead,
    Malformation,
    PinEntered,
    ReaderCondition,
    ReaderFlooding,
    ReaderFound,
    ReaderInput,
    ReaderLost,
    ReadMalformed,
)
from edge.door.readers.feedback import ReaderFeedback
from edge.door.readers.osdp_panel import OsdpReader
from edge.door.readers.reader_set import ReaderSet
from edge.errors import DoorError
from tests import osdp_peers as peers
from tests.osdp_peers import KEY, OTHER_KEY, Wire, reader_peer, wait_until

CARD = CardRead(0x2ABCDEF, 26)


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path / "line")


@pytest.fixture
def config(tmp_path: Path) -> OsdpReaderConfig:
    key_file = tmp_path / "key"
    key_file.write_text(KEY.hex() + "\n")
    key_file.chmod(0o600)
    return OsdpReaderConfig(
        kind="osdp",
        name="entry",
        device=tmp_path / "line",
        address=peers.ADDRESS,
        key_file=key_file,
    )


@pytest.fixture
def reader(config: OsdpReaderConfig) -> Iterator[OsdpReader]:
    reader = OsdpReader(config, time.monotonic)
    yield reader
    reader.close()


def _read(reader: OsdpReader, count: int) -> list[ReaderInput]:
    found: list[ReaderInput] = []

    def has_enough() -> bool:
        found.extend(reader.poll(0.1))
        return len(found) >= count

    wait_until(has_enough)
    return found


def _poll_until(reader: OsdpReader, condition: Callable[[], object]) -> list[ReaderInput]:
    found: list[ReaderInput] = []
    wait_until(lambda: found.extend(reader.poll(0.05)) or condition())
    return found


def test_osdp_reader_delivers_cards_and_pins(wire: Wire, reader: OsdpReader) -> None:
    with reader_peer(wire, KEY) as peer:
        reader.open()
        peer.submit(peers.card(CARD.data))
        assert _read(reader, 1) == [CARD]
        peer.submit(peers.keys(b"99\x7f12"))
        peer.submit(peers.keys(b"34\x0d"))
        assert _read(reader, 1) == [PinEntered("1234")]
        peer.submit(peers.keys(b"A"))
        assert _read(reader, 1) == [ReadMalformed(Malformation.SYNTAX)]


def test_osdp_condition_is_reported_on_change(wire: Wire, reader: OsdpReader) -> None:
    with reader_peer(wire, KEY) as peer:
        reader.open()
        for tamper, power in ((1, 0), (1, 0), (1, 1), (0, 0)):
            peer.submit(peers.condition(tamper, power))
        assert _read(reader, 3) == [
            ReaderCondition(tampered=True, power_failed=False),
            ReaderCondition(tampered=True, power_failed=True),
            ReaderCondition(tampered=False, power_failed=False),
        ]


@pytest.mark.parametrize(
    ("feedback", "color", "beeps"),
    [
        (ReaderFeedback.GRANTED, "GREEN", 1),
        (ReaderFeedback.REFUSED, "RED", 3),
        (ReaderFeedback.PIN_WANTED, "AMBER", 0),
    ],
)
def test_osdp_feedback_ends_by_itself(
    wire: Wire, reader: OsdpReader, feedback: ReaderFeedback, color: str, beeps: int
) -> None:
    with reader_peer(wire, KEY) as peer:
        reader.open()
        reader.show(ReaderFeedback.PIN_WANTED)
        reader.show(feedback)  # replaces the one that was not sent yet

        def lights() -> list[dict[str, Any]]:
            return [found for found in peer.messages if found["command"] == peers.osdp_sys.CMD_LED]

        def sounds() -> list[int]:
            buzzer = peers.osdp_sys.CMD_BUZZER
            return [found["rep_count"] for found in peer.messages if found["command"] == buzzer]

        _poll_until(reader, lambda: lights() and len(sounds()) >= bool(beeps))
        assert [found["on_color"] for found in lights()] == [
            getattr(peers.osdp_sys, f"LED_COLOR_{color}")
        ]
        assert 0 < lights()[0]["timer_count"] <= 100
        assert sounds() == ([beeps] if beeps else [])


def test_osdp_wrong_key_is_refused(
    wire: Wire, reader: OsdpReader, config: OsdpReaderConfig
) -> None:
    with reader_peer(wire, OTHER_KEY), pytest.raises(DoorError, match="secure channel; check"):
        reader.open()
    reader.close()
    with reader_peer(wire, KEY) as peer:
        reader.open()
        peer.submit(peers.card(CARD.data))
        assert _read(reader, 1) == [CARD]
    reader.close()
    config.key_file.write_text(OTHER_KEY.hex())  # used without a restart
    with reader_peer(wire, OTHER_KEY) as peer:
        reader.open()
        peer.submit(peers.card(CARD.data))
        assert _read(reader, 1) == [CARD]


def test_osdp_install_mode_is_refused(wire: Wire, reader: OsdpReader) -> None:
    install = peers.osdp_sys.FLAG_INSTALL_MODE
    with reader_peer(wire, None, install), pytest.raises(DoorError, match="channel; check"):
        reader.open()


def test_osdp_silent_line_is_refused(wire: Wire, reader: OsdpReader) -> None:
    with pytest.raises(DoorError, match="no answer from address 5"):
        reader.open()


class ScriptedReader:
    """Answers each command with the next reply, in a thread, with the sequence of the command."""

    def __init__(self, wire: Wire, answer: Callable[[int], bytes | None]) -> None:
        self._wire, self._answer = wire, answer
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> ScriptedReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        buffer = b""
        while not self._stopped.wait(0.001):
            buffer += self._wire.read(512)
            start = buffer.find(0x53)
            if start < 0 or len(buffer) < start + 5 or len(buffer) < start + buffer[start + 2]:
                continue
            if (reply := self._answer(buffer[start + 4] & 3)) is not None:
                self._wire.write(reply)
            buffer = b""


def test_osdp_unencrypted_reader_is_refused(wire: Wire, reader: OsdpReader) -> None:
    identity = b"\x45" + bytes(12)
    capabilities = b"\x46" + bytes([3, 1, 1])  # cards; no secure channel
    plain_card = b"\x50" + bytes([0, 1, 26, 0]) + bytes(4)
    replies = iter([identity, capabilities])
    answer = lambda sequence: peers.frame(sequence | 4, next(replies, plain_card))  # noqa: E731
    with ScriptedReader(wire, answer), pytest.raises(DoorError, match="secure channel; check"):
        reader.open()
    assert b"\x62" in b"".join(wire.received)  # it asked for the capabilities


def test_osdp_replayed_session_is_refused(wire: Wire, reader: OsdpReader) -> None:
    with reader_peer(wire, KEY) as peer:
        reader.open()
        peer.submit(peers.card(CARD.data))
        assert _read(reader, 1) == [CARD]
    recorded = iter(list(wire.sent))
    reader.close()
    replay = lambda _: next(recorded, None)  # noqa: E731
    with ScriptedReader(wire, replay), pytest.raises(DoorError, match="channel; check"):
        reader.open()


def test_osdp_replayed_frame_ends_the_session(wire: Wire, reader: OsdpReader) -> None:
    with reader_peer(wire, KEY) as peer:
        reader.open()
        before = len(wire.sent)
        peer.submit(peers.card(CARD.data))
        assert _read(reader, 1) == [CARD]
        recorded = next(sent for sent in wire.sent[before:] if len(sent) > 20)
        peer.pause()
        found: list[ReaderInput] = []
        replay = lambda _: recorded  # noqa: E731
        with ScriptedReader(wire, replay), pytest.raises(DoorError, match=r"ended|no answer"):
            wait_until(lambda: found.extend(reader.poll(0.1)))
        assert found == []


@pytest.mark.parametrize("kind", [0x11, 0x12, 0x13, 0x14, None])
def test_osdp_forged_card_is_dropped(wire: Wire, reader: OsdpReader, kind: int | None) -> None:
    content = b"\x50" + bytes([0, 1, 26, 0]) + bytes(4)
    block = b"" if kind is None else bytes([3, kind, 1])
    control = 4 if kind is None else 12
    with reader_peer(wire, KEY) as peer:
        reader.open()
        peer.pause()
        found: list[ReaderInput] = []
        forge = lambda sequence: peers.frame(sequence | control, block + content)  # noqa: E731
        with ScriptedReader(wire, forge), pytest.raises(DoorError, match="no answer for"):
            wait_until(lambda: found.extend(reader.poll(0.1)))
        assert found == []


_CHALLENGE = """
import sys
from edge.door.readers.osdp_key import OsdpKey
from edge.door.readers.osdp_library import PanelContext
from tests import osdp_peers as peers
from tests.osdp_peers import KEY, Wire, reader_peer, wait_until
from edge.door.readers.serial_line import SerialLine
from pathlib import Path
import time
wire = Wire(Path(sys.argv[1]))
with reader_peer(wire, KEY):
    context = PanelContext(5, OsdpKey(KEY), time.monotonic)
    context.channel.connect(SerialLine(Path(sys.argv[1]), 9600))
    wait_until(lambda: context.refresh() or context.is_secure())
print(next(data for data in wire.received if 0x76 in data[6:10]).hex())
"""


def test_osdp_challenge_differs_after_restart(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CHALLENGE, str(tmp_path / "line")]
    found = {subprocess.check_output(command, timeout=60, text=True) for _ in range(2)}
    assert len(found) == 2 and all(len(line) > 20 for line in found)


def test_osdp_cut_cable_is_one_event_each(wire: Wire, config: OsdpReaderConfig) -> None:
    with reader_peer(wire, KEY) as peer:
        readers = ReaderSet({"osdp": OsdpReader(config, time.monotonic)}, time.monotonic)
        try:
            reports: list[Any] = []

            def has(count: int) -> bool:
                reports.extend(report.event for report in readers.take())
                return len(reports) >= count

            wait_until(lambda: has(1))
            wire.is_cut = True
            wait_until(lambda: has(2))
            wire.is_cut = False
            wait_until(lambda: has(3))
            peer.submit(peers.card(CARD.data))
            wait_until(lambda: has(4))
        finally:
            readers.close()
    assert [type(event) for event in reports] == [ReaderFound, ReaderLost, ReaderFound, CardRead]


def test_osdp_removed_adapter_is_lost(wire: Wire, reader: OsdpReader) -> None:
    with reader_peer(wire, KEY) as peer:
        reader.open()
        peer.pause()
        wire.unplug()
        with pytest.raises(DoorError, match="check the cable"):
            wait_until(lambda: reader.poll(0.1))


def test_osdp_feedback_is_sent_by_name(wire: Wire, config: OsdpReaderConfig) -> None:
    with reader_peer(wire, KEY) as peer:
        readers = ReaderSet({"osdp": OsdpReader(config, time.monotonic)}, time.monotonic)
        try:
            wait_until(lambda: ReaderFound() in [report.event for report in readers.take()])
            readers.show("exit", ReaderFeedback.GRANTED)
            readers.show("osdp", ReaderFeedback.REFUSED)
            wait_until(lambda: len(peer.messages) >= 3)
        finally:
            readers.close()
    lights = [found["on_color"] for found in peer.messages if "on_color" in found]
    assert lights == [peers.osdp_sys.LED_COLOR_RED]


def test_osdp_flood_of_cards_is_one_event(wire: Wire, config: OsdpReaderConfig) -> None:
    # A clock that stands still: a busy machine would spread the cards over several seconds.
    with reader_peer(wire, KEY) as peer:
        readers = ReaderSet({"osdp": OsdpReader(config, time.monotonic)}, lambda: 1000.0)
        try:
            reports: list[Any] = []
            wait_until(lambda: reports.extend(r.event for r in readers.take()) or reports)
            for number in range(60):
                peer.submit(peers.card(number))
            wait_until(
                lambda: (
                    reports.extend(r.event for r in readers.take()) or ReaderFlooding() in reports
                )
            )
        finally:
            readers.close()
    assert sum(isinstance(event, CardRead) for event in reports) == 10
    assert reports.count(ReaderFlooding()) == 1


def test_osdp_noise_does_not_delay_the_door(wire: Wire, config: OsdpReaderConfig) -> None:
    stopped = threading.Event()

    def make_noise() -> None:
        while not stopped.is_set():
            wire.write(os.urandom(200) + b"\x53\x85\xf0\x00\x04" * 8)

    noise = threading.Thread(target=make_noise)
    readers = ReaderSet({"osdp": OsdpReader(config, time.monotonic)}, time.monotonic)
    noise.start()
    try:
        reports: list[Any] = []
        wait_until(lambda: reports.extend(r.event for r in readers.take()) or reports)
        assert isinstance(reports[0], ReaderLost)
    finally:
        stopped.set()
        noise.join()
        readers.close()
