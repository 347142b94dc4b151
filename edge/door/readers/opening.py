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
from edge.door.readers.simulated import SimulatedReader
from edge.door.readers.wiegand_decoder import WiegandFormat
from edge.door.readers.wiegand_panel import WiegandPanel
from edge.door.readers.wiegand_reader import EdgeSource, WiegandReader
from edge.door.readers.wiegand_wave import WaveTiming
from edge.errors import DoorError


def open_readers(
    configs: Sequence[ReaderConfig],
    panel: PanelConfig | None,
    clock: Callable[[], float],
) -> ReaderSet:
    """Start readers and panel; each connects in its own thread. Raises DoorError without a library.

    The panel has the name `PANEL`.
    """
    readers = {config.name: _build(config.name, config) for config in configs}
    if panel is not None:
        readers[PANEL] = _build(PANEL, panel)
    return ReaderSet(readers, clock)


def _build(name: str, config: ReaderConfig | PanelConfig) -> Reader:
    try:
        if isinstance(config, SimulatedReaderConfig):
            return SimulatedReader(config.path)
        if isinstance(config, WiegandPanelConfig):
            return _build_wiegand_panel(config)
        if isinstance(config, WiegandReaderConfig):
            return _build_wiegand(config)
        if isinstance(config, HidReaderConfig):
            return _build_hid(config)
        return _build_osdp(config)
    except ImportError as error:
        extra = "hid" if config.kind == "hid" else "readers"
        raise DoorError(
            f"reader {name}: {error}; install the extra: pip install 'mfsa-edge[{extra}]'"
        ) from error


def _build_wiegand(config: WiegandReaderConfig) -> Reader:
    from edge.door.readers.gpio_edges import GpioEdges

    def open_edges() -> EdgeSource:
        return GpioEdges(str(config.chip), config.d0, config.d1, config.pull)

    return WiegandReader(open_edges, wiegand_format(config), config.key_timeout_s)


def _build_wiegand_panel(config: WiegandPanelConfig) -> Reader:
    check_wiegand_panel(config)
    from edge.door.readers.lgpio_wave import LgpioWave

    lines = config.d0, config.d1
    timing = WaveTiming(config.pulse_us, config.interval_us, config.active_high)
    return WiegandPanel(lambda: LgpioWave(config.chip, lines, timing.idle_levels), timing)


def check_wiegand_panel(config: WiegandPanelConfig) -> None:
    """Check that pulses can be sent; raises DoorError, also without the library."""
    try:
        from edge.door.readers.lgpio_wave import check_waves
    except ImportError as error:
        raise DoorError(
            f"door.panel: {error}; install lgpio: pip install 'mfsa-edge[jetson]'"
        ) from error
    check_waves(config.chip, (config.d0, config.d1))


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
