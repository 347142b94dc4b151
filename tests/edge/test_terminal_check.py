"""Checks of all configuration files of one terminal together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.cli import doctor, door
from edge.config import load_config
from edge.config.terminal_check import find_conflicts

HEADER = {7: 144, 11: 112}  # header pin: GPIO line
COMMON: dict[str, Any] = {
    "access": {"lanes": [{"name": "in-1", "door": "lane1"}, {"name": "in-2", "door": "lane2"}]}
}
WriteLanes = Callable[..., tuple[Path, Path]]


def led(pin: str) -> dict[str, Any]:
    return {"kind": "led", "output": gpio(pin)}


def gpio(pin: int | str, factory: str = "jetson") -> dict[str, Any]:
    return {"kind": "gpio", "pin": pin, "factory": factory}


def wiegand(d0: int, d1: int, chip: str = "/dev/gpiochip0") -> dict[str, Any]:
    return {"kind": "wiegand", "chip": chip, "d0": d0, "d1": d1}


def osdp(device: str | Path) -> dict[str, Any]:
    return {"kind": "osdp", "device": str(device), "key_file": "osdp.key"}


@pytest.fixture
def write_lanes(write_config: Callable[..., Path], tmp_path: Path) -> WriteLanes:
    """Writes lane1.yaml and lane2.yaml, which extend terminal.yaml; arguments change the lanes."""

    def write(
        one: Mapping[str, Any] | None = None, two: Mapping[str, Any] | None = None
    ) -> tuple[Path, Path]:
        write_config(**COMMON, camera=None)
        paths = tmp_path / "lane1.yaml", tmp_path / "lane2.yaml"
        for path, changes in zip(paths, (one or {}, two or {}), strict=True):
            fields = {
                "extends": "terminal.yaml",
                "instance": path.stem,
                "camera": {"kind": "replay", "path": "clip", "lockstep": True},
                **changes,
                "door": {"name": path.stem, **changes.get("door", {})},
            }
            path.write_text(yaml.safe_dump(fields), encoding="utf-8")
        return paths

    return write


def conflicts(paths: tuple[Path, ...], header: Mapping[int, int] = HEADER) -> list[str]:
    return find_conflicts({path.name: load_config(path) for path in paths}, header)


def test_lanes_that_agree_have_no_conflict(write_lanes: WriteLanes) -> None:
    one = {"door": {"relay": gpio("BOARD7")}, "access": {"mode": "card-and-face"}}
    assert conflicts(write_lanes(one, {"door": {"relay": gpio("BOARD11")}})) == []


@pytest.mark.parametrize(
    ("one", "two", "resource"),
    [
        ({"relay": gpio("BOARD7")}, {"alarm": gpio("BOARD7")}, "/dev/gpiochip0 line 144"),
        ({"relay": gpio("BOARD7")}, {"relay": gpio(144, "lgpio")}, "/dev/gpiochip0 line 144"),
        ({"relay": gpio(17, "lgpio")}, {"relay": gpio("GPIO17", "lgpio")}, "line 17"),
        ({"relay": gpio("BOARD7")}, {"signals": [led("BOARD7")]}, "/dev/gpiochip0 line 144"),
        ({"relay": gpio("BOARD7")}, {"panel": wiegand(112, 144)}, "line 144"),
        ({"relay": gpio("BOARD40")}, {"relay": gpio("J40:40")}, "pin BOARD40"),
        ({"panel": osdp("/dev/ttyUSB7")}, {"panel": osdp("/dev/ttyUSB7")}, "serial line"),
    ],
)
def test_conflict_one_pin_or_line_of_two_doors(
    write_lanes: WriteLanes, one: dict[str, Any], two: dict[str, Any], resource: str
) -> None:
    (found,) = conflicts(write_lanes({"door": one}, {"door": two}))
    assert resource in found and "of lane1.yaml" in found and "of lane2.yaml" in found


def test_conflict_two_names_of_one_adapter(write_lanes: WriteLanes, tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyUSB0")
    one, two = ({"door": {"panel": osdp(tmp_path / name)}} for name in ("ttyUSB0", "by-id"))
    (found,) = conflicts(write_lanes(one, two))
    assert f"serial line {tmp_path / 'ttyUSB0'} is used more than once" in found


def test_conflict_pin_twice_in_one_file(write_config: Callable[..., Path]) -> None:
    rex = {**gpio("BOARD7"), "active_high": True}
    path = write_config(door={"relay": gpio("BOARD7"), "inputs": {"rex": rex}})
    (found,) = conflicts((path,))
    assert "door.relay (BOARD7)" in found and "door.inputs.rex (BOARD7)" in found


def test_pins_of_the_mock_factory_may_repeat(write_lanes: WriteLanes) -> None:
    lane = {"door": {"relay": gpio(4, "mock")}}
    assert conflicts(write_lanes(lane, lane)) == []


@pytest.mark.parametrize(
    ("sources", "named"),
    [
        ((0, "/dev/video0"), "camera /dev/video0 is used more than once"),
        ((0, 1), None),
        (("videotestsrc ! appsink", "videotestsrc ! appsink"), None),
    ],
)
def test_conflict_one_camera_of_two_lanes(
    write_lanes: WriteLanes, sources: tuple[Any, Any], named: str | None
) -> None:
    lanes = [{"camera": {"kind": "opencv", "source": source}} for source in sources]
    found = conflicts(write_lanes(*lanes))
    assert found == [] if named is None else named in found[0]


@pytest.mark.parametrize(
    ("two", "named"),
    [
        ({"instance": "lane1"}, "instance: lane1.yaml and lane2.yaml have the same name lane1"),
        ({"terminal": "other"}, "terminal: lane1.yaml and lane2.yaml differ"),
        ({"state": "elsewhere"}, "state: lane1.yaml and lane2.yaml differ"),
        ({"door": {"state": "elsewhere"}}, "door.state: lane1.yaml and lane2.yaml differ"),
        ({"key": "other.key"}, "key: lane1.yaml and lane2.yaml differ"),
        ({"door": {"people_key": "other.key"}}, "door.people_key: lane1.yaml and lane2.yaml"),
        ({"door": {"name": "lane1", "pulse_s": 9.0}}, "with different sections `door`"),
        ({"door": {"name": "lane1"}}, "the same lane in-1 of their cameras"),
    ],
)
def test_conflict_of_names_and_shared_keys(
    write_lanes: WriteLanes, two: dict[str, Any], named: str
) -> None:
    found = conflicts(write_lanes({}, two))
    assert any(named in words for words in found), found


def test_conflict_lane_of_a_door_without_file(write_lanes: WriteLanes) -> None:
    one, two = write_lanes()
    lanes = [*COMMON["access"]["lanes"], {"name": "in-3", "door": "lane3"}]
    common = one.with_name("terminal.yaml")
    fields = yaml.safe_load(common.read_text()) | {"access": {"lanes": lanes}}
    common.write_text(yaml.safe_dump(fields))
    (found,) = conflicts((one, two))
    assert "lane in-3 leads through the door lane3, which no file has" in found


def test_check_of_two_files_names_conflicts(
    write_lanes: WriteLanes, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = write_lanes()
    assert door.main(["check", "--config", str(one), str(two)]) == 0
    assert "the configuration is valid: " in capsys.readouterr().out
    pin = {"door": {"relay": gpio("BOARD7")}}
    one, two = write_lanes(pin, pin)
    assert door.main(["check", "--config", str(one), str(two)]) == 2
    assert "is used more than once" in capsys.readouterr().err
    assert door.main(["check", "--config", str(one)]) == 0


def test_doctor_of_two_files_shows_both(
    write_lanes: WriteLanes, capfd: pytest.CaptureFixture[str]
) -> None:
    pin = {"door": {"relay": gpio("BOARD7")}}
    options = [str(path) for path in write_lanes(pin, pin)]
    assert doctor.main(["--config", *options]) == 1
    printed = capfd.readouterr().out
    assert "ERROR    conflict" in printed and "is used more than once" in printed
    assert "\nlane1.yaml\n" in printed and "\nlane2.yaml\n" in printed
    assert doctor.main(["--json", "--config", *options]) == 1
    found = json.loads(capfd.readouterr().out)
    assert found[0]["subject"] == "conflict" and "file" not in found[0]
    bundles = [result["file"] for result in found if result["subject"] == "bundle"]
    assert bundles == ["lane1.yaml", "lane2.yaml"]
