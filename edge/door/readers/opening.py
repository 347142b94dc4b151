"""Construction of the readers and the panel of a door. Libraries are imported for their kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge.config.lane import PANEL
from edge.config.osdp import OsdpPeripheralConfig, OsdpReaderConfig
from edge.config.panel import PanelConfig, WiegandPanelConfig
from edge.config.readers import (
    HidReaderConfig,
    ReaderConfig,
    SimulatedReaderConfig,
    WiegandReaderConfig,
)
from edge.door.readers.card_formats import STANDARD_FORMATS, ParityRule
from edge.door.readers.reader import Reader
from edge.door.readers.reader_set import ReaderSet
from edge.door.readers.requirements import find_requirements
from edge.door.readers.simulated import SimulatedReader
from edge.door.readers.wiegand_decoder import WiegandFormat
from edge.door.readers.wiegand_panel import WiegandPanel
from edge.door.readers.wiegand_reader import EdgeSource, WiegandReader
from edge.door.readers.wiegand_wave import WaveTiming


def open_readers(
    configs: Sequence[ReaderConfig],
    panel: PanelConfig | None,
    clock: Callable[[], float],
) -> ReaderSet:
    """Start readers and panel; each connects in its own thread. Raises DoorError without a library.

    The panel has the name `PANEL`.
    """
    readers = {config.name: _build(f"door.readers.{config.name}", config) for config in configs}
    if panel is not None:
        readers[PANEL] = _build("door.panel", panel)
    return ReaderSet(readers, clock)


def _build(key: str, config: ReaderConfig | PanelConfig) -> Reader:
    if (needs := find_requirements(config)) is not None:
        needs.library.load(key)
    if isinstance(config, SimulatedReaderConfig):
        return SimulatedReader(config.path)
    if isinstance(config, WiegandPanelConfig):
        return _build_wiegand_panel(config)
    if isinstance(config, WiegandReaderConfig):
        return _build_wiegand(config)
    if isinstance(config, HidReaderConfig):
        return _build_hid(config)
    return _build_osdp(config)


def _build_wiegand(config: WiegandReaderConfig) -> Reader:
    from edge.door.readers.gpio_edges import GpioEdges

    def open_edges() -> EdgeSource:
        return GpioEdges(str(config.chip), config.d0, config.d1, config.pull)

    return WiegandReader(open_edges, wiegand_format(config), config.key_timeout_s)


def _build_wiegand_panel(config: WiegandPanelConfig) -> Reader:
    from edge.door.readers.lgpio_wave import LgpioWave, check_waves

    lines = config.d0, config.d1
    check_waves(config.chip, lines)
    timing = WaveTiming(config.pulse_us, config.interval_us, config.active_high)
    return WiegandPanel(lambda: LgpioWave(config.chip, lines, timing.idle_levels), timing)


def _build_hid(config: HidReaderConfig) -> Reader:
    from edge.door.readers.hid_reader import HidReader

    return HidReader(config.path, reads_pin=config.reads == "pin", timeout_s=config.key_timeout_s)


def _build_osdp(config: OsdpReaderConfig | OsdpPeripheralConfig) -> Reader:
    if isinstance(config, OsdpPeripheralConfig):
        from edge.door.readers.osdp_peripheral import OsdpPeripheral

        return OsdpPeripheral(config, time.monotonic)
    from edge.door.readers.osdp_panel import OsdpReader

    return OsdpReader(config, time.monotonic)


def wiegand_format(config: WiegandReaderConfig) -> WiegandFormat:
    """Return the frames that a reader of this configuration sends."""
    parity = (
        STANDARD_FORMATS[config.bits].parity_rules
        if config.parity is None
        else tuple(ParityRule(int(parity.mask, 16), parity.odd) for parity in config.parity)
    )
    return WiegandFormat(
        config.bits,
        parity,
        config.keypad_bits,
        frame_gap_ns=round(config.frame_gap_ms * 1e6),
        interval_min_ns=round(config.interval_min_us * 1e3),
    )
