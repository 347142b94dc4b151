"""Wiegand frames to a panel: built, sent through a substitute for lgpio, measured and decoded."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.config.panel import WiegandPanelConfig
from edge.door.readers.card_formats import CardFormat
from edge.door.readers.events import CardRead
from edge.door.readers.opening import open_readers
from edge.door.readers.panel_cards import build_card_format
from edge.door.readers.panel_events import (
    PanelAnswered,
    PanelInput,
    PanelLinkChanged,
    PanelVerdict,
)
from edge.door.readers.wiegand_decoder import WiegandDecoder, WiegandFormat, WiegandRead
from edge.door.readers.wiegand_panel import WiegandPanel
from edge.door.readers.wiegand_wave import WaveStep, WaveTiming, build_wave
from edge.errors import DoorError
from tests.processes import until

TIMING = WaveTiming(pulse_us=50, interval_us=2000, active_high=False)
CUSTOM: dict[str, Any] = {
    "bits": 35,
    "facility": {"start": 2, "length": 12},
    "number": {"start": 14, "length": 20},
    "parity": [
        {"bit": 1, "mask": hex(0b01 << 33 | 0x1B6DB6DB6), "odd": False},
        {"bit": 34, "mask": hex(0x36DB6DB6D & ~(1 << 34) & ~(0b11 << 33) | 1), "odd": True},
        {"bit": 0, "mask": hex((1 << 35) - 1), "odd": True},
    ],
}
LATER_FIRST = CUSTOM["parity"][::-1]


def config(**keys: Any) -> WiegandPanelConfig:
    values = {"kind": "wiegand", "chip": "/dev/gpiochip0", "d0": 4, "d1": "DATA1"}
    return WiegandPanelConfig.model_validate(values | keys)


FORMATS = [
    build_card_format(config(card_bits=26)),
    build_card_format(config(card_bits=34)),
    build_card_format(config(card_bits=37)),
    build_card_format(config(format=CUSTOM)),
]
timings = st.builds(
    lambda pulse, interval, high: WaveTiming(pulse, max(interval, 2 * pulse), high),
    st.integers(20, 100),
    st.integers(200, 20_000),
    st.booleans(),
)


class PulseLines:
    """Levels of D0 and D1 over time, as a kernel would report their edges."""

    def __init__(self, idle: int) -> None:
        self.changes = [(0, idle)]  # nanoseconds, levels

    def run(self, steps: Sequence[WaveStep], delays_ns: Sequence[int] = ()) -> None:
        at_ns, late = 1_000_000, iter(delays_ns)
        for step in steps:
            self.changes.append((at_ns + next(late, 0), step.levels))
            at_ns += step.duration_us * 1000

    def pulses(self, timing: WaveTiming) -> list[tuple[int, int, int]]:
        """Return line, begin and width of each pulse in nanoseconds."""
        found = []
        for (begin, levels), (end, after) in pairwise(self.changes):
            if (active := levels ^ timing.idle_levels) != 0:
                assert after == timing.idle_levels and active in (0b01, 0b10)
                found.append((active >> 1, begin, end - begin))
        return found


def decode(pulses: Sequence[tuple[int, int, int]], card_format: CardFormat) -> list[WiegandRead]:
    expected = WiegandFormat(
        card_format.bits, card_format.parity_rules, None, frame_gap_ns=50_000_000, interval_min_ns=1
    )
    decoder = WiegandDecoder(expected)
    reads = [decoder.add_edge(line, at_ns) for line, at_ns, _ in pulses]
    return [read for read in (*reads, decoder.end_frame(10**15)) if read is not None]


@given(st.sampled_from(FORMATS), st.integers(0, 255), st.integers(0, 65535), timings, st.data())
def test_sent_card_is_decoded_with_jitter(
    card_format: CardFormat, facility: int, number: int, timing: WaveTiming, data: st.DataObject
) -> None:
    card = card_format.encode(facility, number)
    lines, steps = PulseLines(timing.idle_levels), build_wave(card, timing)
    late = st.integers(0, timing.pulse_us * 200)  # up to a fifth of a pulse
    lines.run(steps, data.draw(st.lists(late, min_size=len(steps), max_size=len(steps))))
    pulses = lines.pulses(timing)
    assert decode(pulses, card_format) == [card]
    assert all(0.8 <= width / (timing.pulse_us * 1000) <= 1.2 for _, _, width in pulses)


@pytest.mark.parametrize("card_format", FORMATS)
def test_sent_card_has_exact_times(card_format: CardFormat) -> None:
    lines = PulseLines(TIMING.idle_levels)
    steps = build_wave(card_format.encode(12, 3456), TIMING)
    lines.run(steps)
    pulses = lines.pulses(TIMING)
    assert len(pulses) == card_format.bits and {width for *_, width in pulses} == {50_000}
    assert {after[1] - before[1] for before, after in pairwise(pulses)} == {2_000_000}
    assert steps[-1].levels == TIMING.idle_levels and steps[-1].duration_us >= 50_000
    assert sum(step.duration_us for step in steps) / 1e6 <= TIMING.wave_s(card_format.bits)


@given(st.integers(0, 4095), st.integers(0, (1 << 20) - 1))
def test_custom_format_has_right_parities(facility: int, number: int) -> None:
    card = FORMATS[3].encode(facility, number)
    assert all(rule.holds(card.data) for rule in FORMATS[3].parity_rules)
    assert card.data >> 1 & 0xFFFFF == number and card.data >> 21 & 0xFFF == facility


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"d1": 4}, "the same line: 4"),
        ({"pulse_us": 19}, "greater than or equal to 20"),
        ({"pulse_us": 101}, "less than or equal to 100"),
        ({"interval_us": 199}, "greater than or equal to 200"),
        ({"pulse_us": 100, "interval_us": 199}, "interval_us"),
        ({"interval_us": 20_001}, "less than or equal to 20000"),
        ({"format": {**CUSTOM, "bits": 34}}, "bit 34 is outside the frame; write at most 33"),
        ({"format": {**CUSTOM, "number": {"start": 13, "length": 20}}}, "use the same bit"),
        ({"format": {**CUSTOM, "parity": LATER_FIRST}}, "a later parity bit"),
        (
            {"format": {**CUSTOM, "parity": [{"bit": 1, "mask": "0x1", "odd": True}]}},
            "must fit into 35 bits and contain bit 1",
        ),
        ({"switch_relay": True}, "switch_relay"),
    ],
)
def test_wiegand_panel_config_is_checked(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**keys)


# ---------------------------------------------------------------- adapter


class ScriptedOutput:
    """Waveform output of a test: busy until the test ends it."""

    def __init__(self) -> None:
        self.sent: list[list[WaveStep]] = []
        self.is_running = False
        self.fails = False
        self.closed = 0

    def start(self, steps: Sequence[WaveStep]) -> None:
        if self.fails:
            raise DoorError("the lines are gone")
        self.sent.append(list(steps))
        self.is_running = True

    def is_busy(self) -> bool:
        return self.is_running

    def close(self) -> None:
        self.closed += 1
        self.is_running = False


class PanelSetup:
    """Opened panel with an output and a clock of the test."""

    def __init__(self) -> None:
        self.output, self.now = ScriptedOutput(), 100.0
        self.panel = WiegandPanel(lambda: self.output, TIMING, lambda: self.now)
        self.card = FORMATS[0].encode(12, 3456)
        assert self.panel.report(self.card) is None  # not open
        self.panel.open()
        assert self.poll() == [PanelLinkChanged(True)]

    def poll(self) -> list[PanelInput]:
        return list(self.panel.poll(0.0))


def test_sent_card_is_answered_when_it_is_over() -> None:
    setup = PanelSetup()
    assert setup.poll() == [] and setup.panel.report(setup.card) == 1
    assert setup.panel.report(setup.card) is None
    assert setup.poll() == [] and setup.output.sent == [build_wave(setup.card, TIMING)]
    assert setup.poll() == [] and setup.panel.report(setup.card) is None
    setup.output.is_running = False
    assert setup.poll() == [PanelAnswered(PanelVerdict.SENT, 1)]
    assert setup.panel.report(setup.card) == 2


def test_old_card_is_not_sent() -> None:
    setup = PanelSetup()
    assert setup.panel.report(setup.card) == 1
    setup.now += 1.5
    assert setup.poll() == [PanelAnswered(PanelVerdict.NO_ANSWER, 1)]
    assert setup.output.sent == []


def test_failed_output_is_closed_and_opened_again() -> None:
    setup = PanelSetup()
    setup.output.fails = True
    assert setup.panel.report(setup.card) == 1
    with pytest.raises(DoorError, match="gone"):
        setup.poll()
    setup.panel.close()
    assert setup.output.closed == 1 and setup.panel.report(setup.card) is None
    setup.output.fails = False
    setup.panel.open()
    assert setup.poll() == [PanelLinkChanged(True)] and setup.poll() == []
    assert setup.output.sent == []  # the card of before is dropped


def test_wave_that_hangs_is_an_error() -> None:
    setup = PanelSetup()
    setup.panel.report(setup.card)
    assert setup.poll() == []
    setup.now += 60
    with pytest.raises(DoorError, match="did not end in time"):
        setup.poll()


# ---------------------------------------------------------------- lgpio


class SimulatedChip:
    """Substitute for the module lgpio with one chip; lines keep their level when they are freed."""

    def __init__(self) -> None:
        self.levels = dict.fromkeys(range(8), 1)
        self.names = {5: "DATA1"}
        self.room = 10
        self.claimed: list[int] = []
        self.waves: list[list[SimpleNamespace]] = []
        self.is_busy = self.fails = False

    def module(self) -> ModuleType:
        lgpio = ModuleType("lgpio")

        class LgpioError(Exception):
            pass

        def group_claim_output(handle: int, lines: list[int], levels: list[int]) -> None:
            if self.fails:
                raise LgpioError("GPIO busy")
            self.claimed = list(lines)
            self.levels.update(zip(lines, levels, strict=True))

        def tx_wave(handle: int, leader: int, pulses: list[SimpleNamespace]) -> int:
            if self.fails:
                raise LgpioError("bad handle")
            assert leader == self.claimed[0]
            self.waves.append(pulses)
            for place, line in enumerate(self.claimed):
                self.levels[line] = pulses[0].bits >> place & 1  # as if it stopped at once
            self.is_busy = True
            return self.room

        def group_free(handle: int, leader: int) -> None:
            self.claimed, self.is_busy = [], False

        members: dict[str, Callable[..., object] | type | int] = {
            "error": LgpioError,
            "TX_WAVE": 1,
            "pulse": lambda bits, mask, us: SimpleNamespace(bits=bits, mask=mask, us=us),
            "gpiochip_open": lambda number: number,
            "gpiochip_close": lambda handle: None,
            "gpio_get_chip_info": lambda handle: (0, 8, "gpiochip0", "simulated"),
            "gpio_get_line_info": lambda handle, line: (0, line, 0, self.names.get(line, ""), ""),
            "tx_room": lambda handle, line, kind: self.room,
            "tx_busy": lambda handle, line, kind: self.is_busy,
            "group_claim_output": group_claim_output,
            "group_free": group_free,
            "tx_wave": tx_wave,
        }
        for name, member in members.items():
            setattr(lgpio, name, member)
        return lgpio


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedChip]:
    found = SimulatedChip()
    name = "edge.door.readers.lgpio_wave"
    monkeypatch.setitem(sys.modules, "lgpio", found.module())
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield found
    sys.modules.pop(name, None)


def open_output(**keys: Any) -> Any:
    module = importlib.import_module("edge.door.readers.lgpio_wave")
    values = config(**keys)
    return module.LgpioWave(values.chip, (values.d0, values.d1), TIMING.idle_levels)


def test_lgpio_sends_the_wave_on_named_lines(chip: SimulatedChip) -> None:
    output = open_output()
    assert chip.claimed == [4, 5] and (chip.levels[4], chip.levels[5]) == (1, 1)
    steps = build_wave(CardRead(0b01, 2), TIMING)
    output.start(steps)
    (wave,) = chip.waves
    assert [(one.bits, one.us) for one in wave] == [(s.levels, s.duration_us) for s in steps]
    assert {one.mask for one in wave} == {0b11} and output.is_busy()
    output.close()


def test_lgpio_drives_lines_idle_at_close(chip: SimulatedChip) -> None:
    output = open_output()
    output.start(build_wave(CardRead(0b01, 2), TIMING))
    assert chip.levels[4] == 0  # within a pulse
    output.close()
    assert (chip.levels[4], chip.levels[5]) == (1, 1) and chip.claimed == []


@pytest.mark.parametrize("keys", [{"d1": "DATA9"}, {"chip": "/dev/null"}])
def test_lgpio_unknown_line_or_chip_is_named(chip: SimulatedChip, keys: dict[str, str]) -> None:
    with pytest.raises(DoorError, match="see gpioinfo") as refused:
        open_output(**keys)
    assert next(iter(keys.values())) in str(refused.value)


def test_lgpio_error_is_translated(chip: SimulatedChip) -> None:
    chip.fails = True
    with pytest.raises(DoorError, match="GPIO busy; see gpioinfo"):
        open_output()


def test_start_without_waveforms_is_refused(chip: SimulatedChip) -> None:
    chip.room = 0
    with pytest.raises(DoorError, match="takes no waveform"):
        open_readers((), config(), lambda: 0.0)


def test_start_without_lgpio_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", None)
    monkeypatch.delitem(sys.modules, "edge.door.readers.lgpio_wave", raising=False)
    with pytest.raises(DoorError, match="bin/pip install lgpio"):
        open_readers((), config(), lambda: 0.0)


def test_wiegand_panel_runs_as_a_reader(chip: SimulatedChip) -> None:
    readers = open_readers((), config(d1=5), lambda: 0.0)
    try:
        card, sent = FORMATS[0].encode(12, 3456), []
        until(
            lambda: bool(sent.append(n) or n) if (n := readers.report_card(card)) else False,
            "the lines are ready",
        )
        until(lambda: len(chip.waves) == 1, "the card is sent")
        chip.is_busy = False
        found: list[object] = []
        until(
            lambda: (
                found.extend(r.event for r in readers.take())
                or PanelAnswered(PanelVerdict.SENT, 1) in found
            ),
            "the card is over",
        )
        assert sent == [1] and {one.us for one in chip.waves[0][:-1]} == {50, 1950}
    finally:
        readers.close()
    assert (chip.levels[4], chip.levels[5]) == (1, 1)
