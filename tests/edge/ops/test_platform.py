"""Readings of machines from samples: a value that is not available is absent, never 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.ops.platform import MachineReading, MachineSetup, open_platform, sysfs
from edge.ops.platform.jetson import JetsonPlatform, power_mode
from edge.ops.platform.pc import PcPlatform
from edge.ops.platform.tegrastats import Tegrastats, parse_line
from tests.processes import until

SAMPLES = Path(__file__).with_name("samples")


def lines(name: str) -> list[str]:
    """Return a sample without its header."""
    return [line for line in (SAMPLES / name).read_text().splitlines() if not line.startswith("#")]


@pytest.fixture
def root(tmp_path: Path) -> Callable[[str], Path]:
    """Create the files of a sample."""

    def make(name: str) -> Path:
        for line in lines(f"{name}.sysfs"):
            path, _, content = line.partition(" = ")
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content.replace("\\n", "\n") + "\n")
        return tmp_path

    return make


def jetson(root: Path) -> JetsonPlatform:
    return JetsonPlatform(root, tegrastats="no-such-command")


def test_jetpack_5(root: Callable[[str], Path]) -> None:
    board = jetson(root("jetpack5-agx-orin"))
    assert board.setup() == MachineSetup(
        "Jetson AGX Orin Developer Kit", "R35.4.1", "MODE_30W", False, "schedutil"
    )
    seen = board.read()
    assert seen.clocks_mhz == {"cpu0": 1344.0, "gpu": 612.0} and seen.loads == {"gpu": 41.2}
    assert seen.temperatures_c == {"cpu": 48.5, "gpu": 43.5}  # a zone without power reports -256
    assert seen.rails_w == {
        "VDD_GPU_SOC": 3.6,
        "VDD_CPU_CV": 0.8,
        "VIN_SYS_5V0": 4.0,
        "VDDQ_VDD2_1V8AO": 0.6,
    }
    assert seen.power_w == 8.4  # VDDQ hangs on the 5 V rail
    assert seen.throttled_by is None and seen.throttle_events == 3


def test_jetpack_6(root: Callable[[str], Path]) -> None:
    board = jetson(root("jetpack6-orin-nano"))
    assert board.setup() == MachineSetup(
        "NVIDIA Jetson Orin Nano Developer Kit", "R36.4.0", "MAXN_SUPER", True, "schedutil"
    )
    seen = board.read()
    assert seen.clocks_mhz == {"cpu0": 1728.0, "gpu": 1020.0} and seen.temperatures_c == {
        "cpu": 52.125,
        "tj": 53.0,
    }
    assert (
        seen.power_w == pytest.approx(7.157, abs=1e-3) and "VDD_SOC" not in seen.rails_w
    )  # a rail without current
    assert seen.throttled_by == ("gpu-throttle-alert",) and seen.throttle_events == 0


def test_jetpack_7(root: Callable[[str], Path]) -> None:
    board = jetson(root("jetpack7-thor"))
    assert (
        board.setup().power_mode == "120W"
        and board.setup().l4t == "R38.4.0"
        and board.setup().clocks_locked is False
    )
    seen = board.read()
    assert seen.power_w == 28.906 and seen.clocks_mhz["gpu"] == 1575.0 and seen.loads == {}
    assert (
        seen.throttled_by == () and seen.temperatures_c["soc012"] == 48.1
    )  # steps of a clock are no throttling


def test_tegrastats_of_jetpack_5() -> None:
    (line,) = lines("jetpack5-agx-orin.tegrastats")
    seen = parse_line(line)
    assert seen.loads == {"cpu0": 12, "cpu1": 3, "cpu2": 0, "cpu3": 7, "gpu": 41, "emc": 2}
    assert seen.clocks_mhz == {
        "cpu0": 1344,
        "cpu1": 729,
        "cpu2": 729,
        "cpu3": 729,
        "gpu": 612,
        "emc": 2133,
    }
    assert seen.temperatures_c["cpu"] == 48.5 and "cv0" not in seen.temperatures_c
    assert (
        seen.power_w == pytest.approx(3.612 + 0.812 + 4.02)
        and "RAM" not in seen.rails_w
        and "SWAP" not in seen.rails_w
    )


def test_tegrastats_of_jetpack_6() -> None:
    busy, idle = (parse_line(line) for line in lines("jetpack6-orin-nano.tegrastats"))
    assert busy.loads["gpu"] == 63 and busy.clocks_mhz["gpu"] == 624 and busy.power_w == 7.164
    assert busy.temperatures_c["tj"] == 52.125
    assert idle.loads["gpu"] == 0 and "gpu" not in idle.clocks_mhz  # idle, its clock sleeps


def test_tegrastats_of_jetpack_7() -> None:
    orin, busy, idle = (parse_line(line) for line in lines("jetpack7.tegrastats"))
    assert (
        orin.loads["gpu"] == 17
        and orin.clocks_mhz["gpu"] == 1300
        and orin.temperatures_c["tj"] == 52.968
    )
    assert orin.power_w == pytest.approx(5.99 + 1.996 + 4.838)
    assert (
        busy.loads == {"cpu0": 31, "cpu1": 5, "gpu": 87, "emc": 34}
        and busy.clocks_mhz["cpu1"] == 2601
    )
    assert busy.power_w == 124.486
    assert (
        "gpu" not in idle.loads and idle.clocks_mhz["gpu"] == 1574
    )  # an idle Thor reports no load
    assert idle.power_w is None  # unknown without VIN and its parts


def test_empty_line_gives_no_values() -> None:
    assert (
        parse_line("")
        == parse_line("RAM 100/7620MB (lfb 4x4MB) SWAP 0/100MB (cached 0MB)")
        == MachineReading()
    )


def test_tegrastats_fills_what_sysfs_lacks(root: Callable[[str], Path], tmp_path: Path) -> None:
    command = tmp_path / "tegrastats"
    line = lines("jetpack7.tegrastats")[1]
    command.write_text(f"#!/bin/sh\necho '{line}'\nexec sleep 60\n")
    command.chmod(0o755)
    board = JetsonPlatform(root("jetpack7-thor"), str(command))
    until(lambda: "gpu" in board.read().loads, "tegrastats is read")
    seen = board.read()
    board.close()
    assert seen.loads["gpu"] == 87 and seen.power_w == 28.906  # sysfs first


def test_tegrastats_missing_gives_no_values() -> None:
    absent = Tegrastats("no-such-command")
    assert absent.newest == MachineReading()
    absent.close()


@pytest.mark.parametrize(
    ("status", "conf", "name"),
    [
        ("pmode:0003", "< POWER_MODEL ID=3 NAME=7W >", "7W"),
        ("pmode:0010", "< POWER_MODEL ID=1 NAME=15W >\n< POWER_MODEL ID=10 NAME=X >", "X"),
        ("pmode:0003", "", "mode 3"),
        ("", "< PM_CONFIG DEFAULT=1 >\n< POWER_MODEL ID=1 NAME=15W >", "15W"),
        ("", "", None),
    ],
)
def test_power_modes_by_name(status: str, conf: str, name: str | None) -> None:
    assert power_mode(status, conf) == name


class Psutil:
    """psutil of a laptop; it reports 0 for unknown clocks and temperatures."""

    def cpu_freq(self, percpu: bool) -> list[SimpleNamespace]:
        return [SimpleNamespace(current=2400.0), SimpleNamespace(current=0.0)]

    def sensors_temperatures(self) -> dict[str, list[SimpleNamespace]]:
        return {
            "coretemp": [
                SimpleNamespace(label="Package id 0", current=61.0),
                SimpleNamespace(label="", current=0.0),
            ]
        }

    def cpu_percent(self, percpu: bool) -> list[float]:
        return [12.5, 0.0]


def test_a_pc(tmp_path: Path) -> None:
    now = [10.0]
    pc = PcPlatform(tmp_path, Psutil(), lambda: now[0])
    assert pc.read().loads == {}  # no interval yet
    now[0] += 1
    assert pc.read() == MachineReading(
        {"cpu0": 2400.0}, {"package id 0": 61.0}, {}, {"cpu0": 12.5, "cpu1": 0.0}, None, None
    )
    now[0] += 0.001
    assert pc.read().loads == {}
    assert pc.setup() == MachineSetup()


def test_pc_without_sensors_gives_nothing(tmp_path: Path) -> None:
    class Bare:
        def cpu_freq(self, percpu: bool) -> None:
            return None

        def cpu_percent(self, percpu: bool) -> list[float]:
            return [1.0]

    seen = PcPlatform(tmp_path, Bare()).read()
    assert seen.clocks_mhz == {} and seen.temperatures_c == {} and seen.power_w is None


def test_pc_throttling_is_counted(tmp_path: Path) -> None:
    for number, count in enumerate((2, 3)):
        counter = (
            tmp_path / f"sys/devices/system/cpu/cpu{number}/thermal_throttle/core_throttle_count"
        )
        counter.parent.mkdir(parents=True)
        counter.write_text(f"{count}\n")
    assert sysfs.throttle_events(tmp_path) == 5


def test_platform_is_known_by_release_file(root: Callable[[str], Path], tmp_path: Path) -> None:
    assert isinstance(open_platform(tmp_path), PcPlatform)
    assert isinstance(open_platform(root("jetpack6-orin-nano")), JetsonPlatform)
