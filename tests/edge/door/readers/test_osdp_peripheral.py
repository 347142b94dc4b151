"""The terminal as OSDP reader of a panel, against libosdp's own control panel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.osdp import OsdpPeripheralConfig
from edge.door.readers.events import CardRead
from edge.door.readers.osdp_peripheral import OsdpPeripheral
from edge.door.readers.panel_events import (
    PanelAnswered,
    PanelInput,
    PanelLinkChanged,
    PanelMessage,
    PanelVerdict,
)
from edge.errors import DoorError
from tests import osdp_peers as peers
from tests.osdp_peers import KEY, OTHER_KEY, Wire, panel_peer, wait_until

CARD = CardRead(0x2ABCDEF, 26)


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path / "line")


@pytest.fixture
def config(tmp_path: Path) -> OsdpPeripheralConfig:
    key_file = tmp_path / "key"
    key_file.write_text(KEY.hex())
    key_file.chmod(0o600)
    return OsdpPeripheralConfig(
        kind="osdp", device=tmp_path / "line", address=peers.ADDRESS, key_file=key_file
    )


@pytest.fixture
def peripheral(wire: Wire, config: OsdpPeripheralConfig) -> Iterator[OsdpPeripheral]:
    peripheral = OsdpPeripheral(config, time.monotonic)
    peripheral.open()
    yield peripheral
    peripheral.close()


def _read(peripheral: OsdpPeripheral, count: int) -> list[PanelInput]:
    found: list[PanelInput] = []
    wait_until(lambda: found.extend(peripheral.poll(0.05)) or len(found) >= count)
    return found


def _exchange(peripheral: OsdpPeripheral, wire: Wire, count: int = 5) -> list[PanelInput]:
    """Return what arrives while the terminal answers some more commands of the panel."""
    before, found = len(wire.received), list[PanelInput]()
    wait_until(lambda: found.extend(peripheral.poll(0.02)) or len(wire.received) >= before + count)
    return found


@pytest.mark.parametrize(
    ("color", "verdict"), [("GREEN", PanelVerdict.GRANTED), ("RED", PanelVerdict.REFUSED)]
)
def test_osdp_panel_light_is_the_verdict(
    wire: Wire, peripheral: OsdpPeripheral, color: str, verdict: PanelVerdict
) -> None:
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        assert peripheral.report(CARD)
        assert not peripheral.report(CARD)  # the panel has not decided yet
        wait_until(lambda: list(peripheral.poll(0.05)) or panel.messages)
        (event,) = panel.messages
        assert (event["length"], event["data"]) == (26, (CARD.data << 6).to_bytes(4, "big"))
        panel.submit(0, peers.light(getattr(peers.osdp_sys, f"LED_COLOR_{color}")))
        assert _read(peripheral, 1) == [PanelAnswered(verdict, 1)]


def test_osdp_panel_without_verdict_times_out(wire: Wire, peripheral: OsdpPeripheral) -> None:
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        assert peripheral.report(CARD)
        assert _read(peripheral, 1) == [PanelAnswered(PanelVerdict.NO_ANSWER, 1)]
        assert len(panel.messages) == 1
        assert not peripheral.report(CARD)  # a late answer must not count for it
        panel.submit(0, peers.light(peers.osdp_sys.LED_COLOR_GREEN))
        assert _exchange(peripheral, wire) == []
        found: list[PanelInput] = []
        wait_until(lambda: found.extend(peripheral.poll(0.05)) or peripheral.report(CARD))
        assert found == []


def test_osdp_panel_resting_light_is_no_verdict(wire: Wire, peripheral: OsdpPeripheral) -> None:
    red, green = peers.osdp_sys.LED_COLOR_RED, peers.osdp_sys.LED_COLOR_GREEN
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        panel.submit(0, peers.light(red, temporary=False))
        assert _exchange(peripheral, wire) == []
        assert peripheral.report(CARD)
        panel.submit(0, peers.light(red, temporary=False))
        assert _exchange(peripheral, wire) == []
        panel.submit(0, peers.light(green, temporary=False))
        assert _read(peripheral, 1) == [PanelAnswered(PanelVerdict.GRANTED, 1)]


def test_osdp_panel_text_is_cleaned(wire: Wire, peripheral: OsdpPeripheral) -> None:
    text = {"reader": 0, "control_code": 1, "temp_time": 5, "offset_row": 1, "offset_col": 1}
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        message = "Good\x1b\x07 day" + "!" * 22
        panel.submit(0, {"command": peers.osdp_sys.CMD_TEXT, "data": message, **text})
        assert _read(peripheral, 1) == [PanelMessage("Good day" + "!" * 22)]


@pytest.mark.parametrize(("flags", "tries"), [(peers.ENFORCED, 3), (0, 5)])
def test_osdp_panel_with_wrong_key_is_refused(
    wire: Wire, peripheral: OsdpPeripheral, flags: int, tries: int
) -> None:
    """Without ENFORCED the panel tries the default key, then no encryption."""
    with panel_peer(wire, OTHER_KEY, flags) as panel:
        assert _exchange(peripheral, wire, tries) == []
        assert not peripheral.report(CARD)
        assert panel.messages == [] and not panel.device.sc_status()


def test_osdp_panel_cannot_set_another_key(wire: Wire, peripheral: OsdpPeripheral) -> None:
    keyset = {"command": peers.osdp_sys.CMD_KEYSET, "type": 1, "data": OTHER_KEY}
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        panel.submit(0, keyset)
        assert _read(peripheral, 1) == [PanelLinkChanged(False)]
    with panel_peer(wire, OTHER_KEY):
        assert _exchange(peripheral, wire, 3) == []  # identity, capabilities, challenge
    with panel_peer(wire, KEY):
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]


def test_osdp_replayed_panel_is_refused(wire: Wire, peripheral: OsdpPeripheral) -> None:
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        assert peripheral.report(CARD)
        wait_until(lambda: list(peripheral.poll(0.05)) or panel.messages)
        panel.submit(0, peers.light(peers.osdp_sys.LED_COLOR_GREEN))
        assert _read(peripheral, 1) == [PanelAnswered(PanelVerdict.GRANTED, 1)]
    assert _read(peripheral, 1) == [PanelLinkChanged(False)]
    for sent in list(wire.sent):
        wire.write(sent)
        assert peripheral.poll(0.02) == []
    assert not peripheral.report(CARD)


def test_osdp_forged_light_is_no_verdict(wire: Wire, peripheral: OsdpPeripheral) -> None:
    led = b"\x69" + bytes([0, 0, 2, 5, 5, 2, 0, 20, 0, 0, 0, 0, 0, 0])
    with panel_peer(wire, KEY) as panel:
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
        assert peripheral.report(CARD)
        wait_until(lambda: list(peripheral.poll(0.05)) or panel.messages)
        panel.pause()
        for sequence in (1, 2, 3):
            for block in (bytes([3, 0x11, 1]), bytes([3, 0x13, 1])):
                wire.write(peers.frame(sequence | 12, block + led, from_reader=False))
                assert peripheral.poll(0.02) == []
        assert PanelAnswered(PanelVerdict.NO_ANSWER, 1) in _read(peripheral, 2)


def test_osdp_cut_panel_is_reported_and_returns(wire: Wire, peripheral: OsdpPeripheral) -> None:
    with panel_peer(wire, KEY):
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]
    assert _read(peripheral, 1) == [PanelLinkChanged(False)]
    assert not peripheral.report(CARD)
    with panel_peer(wire, KEY):
        assert _read(peripheral, 1) == [PanelLinkChanged(True)]


def test_osdp_removed_panel_adapter_is_lost(wire: Wire, peripheral: OsdpPeripheral) -> None:
    wire.unplug()
    with pytest.raises(DoorError, match="check the cable"):
        wait_until(lambda: peripheral.poll(0.1))
