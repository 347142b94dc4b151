"""Units as systemd reads them, and their exposure as a regression limit."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config.console import ConsoleConfig
from tests.processes import TIMEOUT_S

UNITS = Path(__file__).resolve().parents[2] / "systemd"
KIOSK = "edge-kiosk.service"
EXPOSURE = {
    "edge-door.service": 1.0,
    "edge-door@.service": 1.0,
    "edge-daemon.service": 2.0,
    "edge-daemon@.service": 2.0,
    "edge-expire.service": 1.5,
    KIOSK: 4.0,  # the sandbox of Chromium needs namespaces
    "edge-console.service": 1.7,
    "edge-people@.service": 1.5,
}
RELOADED = [unit for unit in EXPOSURE if unit.startswith(("edge-door", "edge-daemon"))]
# Lines of a plain unit after its first line, and those of the unit for several lanes.
TEMPLATES = {
    "edge-door": {
        "Description=mfsa-edge door\n": "Description=mfsa-edge door %i\n",
        "terminal.yaml\n": "%i.yaml\n",
        "RuntimeDirectory=mfsa-door\n": "RuntimeDirectory=mfsa-door mfsa-door/%i\n",
    },
    "edge-daemon": {
        "Description=mfsa-edge recogniser\n": "Description=mfsa-edge recogniser %i\n",
        "terminal.yaml\n": "%i.yaml\n",
        # No Wants: a drop-in cannot remove it, and the door may have another name.
        "Wants=edge-door.service\nAfter=edge-door.service\n": "After=edge-door.service "
        "edge-door@%i.service\n",
    },
}


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
    """Return the version of systemd-analyze; skip without one."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    version = int(analyze("--version").stdout.split()[1])
    if version < 250:
        pytest.skip(f"systemd {version} cannot look at units offline; 250 can")
    return version


def installed(folder: Path, unit: str, drop_in: str | None = None) -> Path:
    """Return a copy of a unit, or of an instance, with commands that exist on this machine."""
    path = folder / unit.replace("@", "@lane1")
    copies = {path: UNITS / unit}
    if drop_in:
        copies[folder / f"{unit}.d" / drop_in] = UNITS / "drop-ins" / drop_in
    for copy, source in copies.items():
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(
            re.sub(r"/opt/mfsa-edge/bin/\S+|/usr/bin/cage", "/bin/true", source.read_text())
        )
    return path


@pytest.mark.parametrize("unit", EXPOSURE)
def test_units_are_clean(systemd: int, unit: str, tmp_path: Path) -> None:
    if unit.startswith("edge-daemon"):
        installed(tmp_path, "edge-door.service")
        installed(tmp_path, "edge-door@.service")
    found = analyze("verify", "--recursive-errors=no", "--man=no", installed(tmp_path, unit))
    assert found.returncode == 0 and "edge-" not in found.stderr, found.stderr


@pytest.mark.parametrize("ending", [".service", "@.service"])
@pytest.mark.parametrize("drop_in", sorted(p.name for p in (UNITS / "drop-ins").iterdir()))
def test_drop_ins_are_clean(systemd: int, drop_in: str, ending: str, tmp_path: Path) -> None:
    header = (UNITS / "drop-ins" / drop_in).read_text().splitlines()[0]
    (name,) = re.findall(rf"^# /etc/systemd/system/(edge-\w+)\.service\.d/{drop_in}\b", header)
    if f"{name}{ending}" not in EXPOSURE:
        pytest.skip(f"{name} has no instances")
    path = installed(tmp_path, f"{name}{ending}", drop_in)
    found = analyze("verify", "--recursive-errors=no", "--man=no", path)
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


@pytest.mark.parametrize("unit", [unit for unit in EXPOSURE if unit != KIOSK])
def test_commands_of_units_exist(unit: str) -> None:
    """Units call only commands of this package."""
    from importlib.metadata import entry_points

    scripts = {script.name for script in entry_points(group="console_scripts")}
    called = re.findall(r"/opt/mfsa-edge/bin/(\S+)", (UNITS / unit).read_text())
    assert called and set(called) <= scripts


@pytest.mark.parametrize("name", TEMPLATES)
def test_unit_of_lanes_is_as_the_plain_one(name: str) -> None:
    _, text = (UNITS / f"{name}.service").read_text().split("\n", 1)
    for plain, of_lane in TEMPLATES[name].items():
        assert plain in text
        text = text.replace(plain, of_lane)
    assert (UNITS / f"{name}@.service").read_text().split("\n", 1)[1] == text


@pytest.mark.parametrize("unit", RELOADED)
def test_unit_reload_checks_configuration_first(unit: str) -> None:
    """A signal alone cannot fail, and `systemctl reload` would report success."""
    first, second = re.findall(r"^ExecReload=(.*)$", (UNITS / unit).read_text(), re.M)
    assert "edge-door check --config" in first and second == "/bin/kill -HUP $MAINPID"


def test_unit_keeps_runtime_folder_after_kill() -> None:
    """Saved outputs survive restarts, /proc shows the board, and OOM kills others first."""
    door = (UNITS / "edge-door.service").read_text()
    assert "\nRuntimeDirectoryPreserve=yes\n" in door and "\nAfter=nss-user-lookup.target\n" in door
    assert "ProcSubset" not in door and "\nOOMScoreAdjust=-900\n" in door


def test_kiosk_reaches_its_own_page_only() -> None:
    text = (UNITS / KIOSK).read_text()
    assert "IPAddressDeny=any\nIPAddressAllow=localhost\n" in text
    assert f"http://127.0.0.1:{ConsoleConfig().kiosk_port}/kiosk\n" in text
    assert "PAMName" not in text  # a login session would leave the unit and its limits


@pytest.mark.parametrize("unit", ["edge-daemon.service", "edge-daemon@.service"])
def test_group_passes_state_folder_without_list(unit: str) -> None:
    """Group members reach the audit log and the live socket; both files name the same mode."""
    text = (UNITS / unit).read_text()
    assert "\nStateDirectory=mfsa-edge\nStateDirectoryMode=0710\n" in re.sub("#.*\n", "", text)
    rights = (UNITS / "mfsa-edge.tmpfiles").read_text()
    for folder in ("", "/instances", "/instances/*"):
        assert re.search(rf"^. /var/lib/mfsa-edge{re.escape(folder)} +0710 ", rights, re.M)
