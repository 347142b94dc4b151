from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import load_config
from edge.config.starter import (
    StarterConfig,
    camera_keys,
    live_camera,
    parse_relay,
    recorded_camera,
)
from edge.errors import ConfigError


@pytest.mark.parametrize(
    "name",
    ["clip", "a: b", "# x", "'quoted' \"too\"", "{curly}, [square]", "Zoë", "yes", "12", "~"],
)
def test_starter_any_path_loads_as_it_was(tmp_path: Path, name: str) -> None:
    camera = recorded_camera(tmp_path / name)
    starter = StarterConfig(
        "lobby", tmp_path / "b" / name, camera, parse_relay("simulated", ""), "layers"
    )
    text = starter.text(tmp_path)
    (tmp_path / "terminal.yaml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "terminal.yaml")
    assert config.camera.path == tmp_path / name  # type: ignore[union-attr]
    assert config.bundle == tmp_path / "b" / name and config.state == tmp_path / "state"
    assert len(text.splitlines()) == 7 and str(tmp_path) not in text


@pytest.mark.parametrize(
    ("text", "source", "is_network"),
    [
        ("0", 0, False),
        ("/dev/video2", 2, False),
        ("/dev/v4l/by-id/usb", "/dev/v4l/by-id/usb", False),
        ("v4l2src ! appsink", "v4l2src ! appsink", False),
        ("rtsp://u:p@10.0.0.9/live", "rtsp://u:p@10.0.0.9/live", True),
        ("udpsrc port=5000 ! appsink", "udpsrc port=5000 ! appsink", True),
    ],
)
def test_starter_live_camera_loads(
    tmp_path: Path, text: str, source: int | str, is_network: bool
) -> None:
    camera = camera_keys(live_camera(text))
    assert camera["source"] == source and ("accept_network_injection" in camera) == is_network
    starter = StarterConfig("a", Path("/b"), camera, parse_relay("simulated", ""), "none")
    (tmp_path / "terminal.yaml").write_text(starter.text(tmp_path))
    loaded = load_config(tmp_path / "terminal.yaml").camera.model_dump()
    assert camera.items() <= loaded.items()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("simulated", {"kind": "simulated"}),
        ("file:/run/lock", {"kind": "file", "path": Path("/run/lock")}),
        ("gpio:17", {"kind": "gpio", "pin": 17, "active_high": True, "factory": "lgpio"}),
        ("gpio:BOARD7", {"kind": "gpio", "pin": "BOARD7", "active_high": True, "factory": "lgpio"}),
    ],
)
def test_relay_answer_is_a_section(answer: str, expected: dict[str, object]) -> None:
    assert parse_relay(answer, "lgpio") == expected


@pytest.mark.parametrize("answer", ["", "yes", "gpio", "gpio:", "gpio:a b", "file:", "simulated:x"])
def test_relay_answer_of_no_kind_is_refused(answer: str) -> None:
    with pytest.raises(ConfigError, match="expected simulated, file:PATH or gpio:PIN"):
        parse_relay(answer, "lgpio")
