"""The units as systemd reads them, and how much of the machine they expose: regression gates where systemd can tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import TIMEOUT_S

UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE = {"edge-door.service": 1.0, "edge-daemon.service": 2.0, "edge-expire.service": 1.0}


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def systemd() -> int:
    """Its version; skips where there is none that can tell."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    version = int(analyze("--version").stdout.split()[1])
    if version < 250:
        pytest.skip(f"systemd {version} cannot look at units offline; 250 can")
    return version


def installed(folder: Path, unit: str, drop_in: str | None = None) -> Path:
    """A copy whose commands exist on this machine."""
    path = folder / unit
    path.write_text(re.sub(r"/opt/mfsa-edge/bin/\S+", "/bin/true", (UNITS / unit).read_text()))
    if drop_in:
        (folder / f"{unit}.d").mkdir()
        shutil.copy(UNITS / "drop-ins" / drop_in, folder / f"{unit}.d" / drop_in)
    return path


@pytest.mark.parametrize("unit", EXPOSURE)
def test_units_are_clean(systemd: int, unit: str, tmp_path: Path) -> None:
    if unit == "edge-daemon.service":
        installed(tmp_path, "edge-door.service")
    found = analyze("verify", "--recursive-errors=no", "--man=no", installed(tmp_path, unit))
    assert found.returncode == 0 and "edge-" not in found.stderr, found.stderr


@pytest.mark.parametrize("drop_in", sorted(p.name for p in (UNITS / "drop-ins").iterdir()))
def test_drop_ins_are_clean(systemd: int, drop_in: str, tmp_path: Path) -> None:
    found = analyze(
        "verify",
        "--recursive-errors=no",
        "--man=no",
        installed(tmp_path, "edge-daemon.service", drop_in),
    )
    assert found.returncode == 0 and drop_in not in found.stderr, found.stderr


@pytest.mark.parametrize(("unit", "most"), EXPOSURE.items())
def test_unit_exposure_is_limited(systemd: int, unit: str, most: float, tmp_path: Path) -> None:
    found = analyze(
        "security", "--offline=true", f"--threshold={most * 10:.0f}", installed(tmp_path, unit)
    )
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert overall is not None and float(overall.group(1)) <= most and found.returncode == 0, (
        found.stdout[-400:]
    )


@pytest.mark.parametrize("unit", EXPOSURE)
def test_commands_of_units_exist(unit: str) -> None:
    """What a unit calls is what this package installs."""
    from importlib.metadata import entry_points

    scripts = {script.name for script in entry_points(group="console_scripts")}
    called = re.findall(r"/opt/mfsa-edge/bin/(\S+)", (UNITS / unit).read_text())
    assert called and set(called) <= scripts


@pytest.mark.parametrize("unit", ["edge-door.service", "edge-daemon.service"])
def test_unit_reload_checks_configuration_first(unit: str) -> None:
    """The signal alone cannot fail: `systemctl reload` would say that all is well."""
    first, second = re.findall(r"^ExecReload=(.*)$", (UNITS / unit).read_text(), re.M)
    assert "edge-door check --config" in first and second == "/bin/kill -HUP $MAINPID"


def test_unit_keeps_runtime_folder_after_kill() -> None:
    """Its note of the lines outlives the restart, /proc tells of the board, and memory that runs out takes others first."""
    door = (UNITS / "edge-door.service").read_text()
    assert (
        "\nRuntimeDirectoryPreserve=restart\n" in door
        and "\nAfter=nss-user-lookup.target\n" in door
    )
    assert "ProcSubset" not in door and "\nOOMScoreAdjust=-900\n" in door
