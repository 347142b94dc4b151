"""A door whose terminal is the OSDP reader of libosdp's control panel, over a pseudo-terminal."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge.config.lane import PANEL
from edge.config.osdp import OsdpPeripheralConfig
from edge.door.credential_editor import edit_credentials
from edge.door.paths import DoorPaths
from edge.door.readers.osdp_peripheral import OsdpPeripheral
from tests import osdp_peers as peers
from tests.doors import until
from tests.lanes import lane_door, make_people
from tests.osdp_peers import KEY, OTHER_KEY, Wire, panel_peer

ADAS_FRAME = "26:7:4711"


@pytest.fixture
def config(tmp_path: Path) -> OsdpPeripheralConfig:
    make_people(tmp_path)
    paths = DoorPaths.in_folder(tmp_path)
    with edit_credentials(paths.people, paths.people_key) as editor:
        editor.set_panel_card("Ada", "4711")
    key_file = tmp_path / "panel.key"
    key_file.write_text(KEY.hex())
    key_file.chmod(0o600)
    return OsdpPeripheralConfig(
        kind="osdp",
        device=tmp_path / "line",
        address=peers.ADDRESS,
        key_file=key_file,
        facility=7,
    )


@pytest.mark.parametrize("color", ["GREEN", "RED"])
def test_osdp_panel_decides_about_a_face(
    tmp_path: Path, config: OsdpPeripheralConfig, color: str
) -> None:
    wire = Wire(config.device)
    readers = {PANEL: OsdpPeripheral(config, time.monotonic)}
    panel_keys = config.model_dump()
    with (
        panel_peer(wire, KEY) as panel,
        lane_door(tmp_path, {}, readers=readers, panel=panel_keys) as lane,
    ):
        until(lambda: bool(lane.records("panel-found")))
        assert lane.face("Ben") == "no-panel-card"
        assert lane.face("Ada") == "waiting"
        peers.wait_until(lambda: panel.messages)
        (event,) = panel.messages
        assert event["length"] == 26 and lane.status()["access"]["panel"]["connected"]
        assert int.from_bytes(event["data"], "big") >> 7 & 0xFFFFFF == 7 << 16 | 4711
        text = {"reader": 0, "control_code": 1, "temp_time": 5, "offset_row": 1, "offset_col": 1}
        panel.submit(0, {"command": peers.osdp_sys.CMD_TEXT, "data": "Hello Ada", **text})
        panel.submit(0, peers.light(getattr(peers.osdp_sys, f"LED_COLOR_{color}")))
        peers.wait_until(lambda: lane.records("panel-answered"))
        (answered,) = lane.records("panel-answered")
        granted = "granted-by-panel" if color == "GREEN" else "refused-by-panel"
        assert (answered["reason"], answered["subject"]) == (granted, "Ada")
        assert lane.records("panel-text")[0]["note"] == "Hello Ada"
        assert lane.door.relay.history == []


def test_osdp_panel_with_wrong_key_gets_no_card(
    tmp_path: Path, config: OsdpPeripheralConfig
) -> None:
    wire = Wire(config.device)
    readers = {PANEL: OsdpPeripheral(config, time.monotonic)}
    with (
        panel_peer(wire, OTHER_KEY) as panel,
        lane_door(tmp_path, {}, readers=readers, panel=config.model_dump()) as lane,
    ):
        until(lambda: bool(lane.records("reader-found")))
        peers.wait_until(lambda: len(wire.received) >= 3)  # identity, capabilities, challenge
        assert lane.face("Ada") == "panel-offline"
        assert panel.messages == [] and not lane.records("panel-found")
