"""The files for several lanes in docs/install.md are valid and belong to one terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.config import TerminalConfig, load_config
from edge.config.terminal_check import find_conflicts
from edge.door.access_check import check_access
from edge.door.jetson_modules import KNOWN_MODULES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "install.md"
JETSON = KNOWN_MODULES[0].lines
BLOCK = re.compile(r"```yaml\n# (\S+\.yaml)\n(.*?)```", re.DOTALL)


def write_files(heading: str, folder: Path) -> None:
    """Write the files of a section of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n##")[0]
    for name, text in BLOCK.findall(section):
        (folder / name).write_text(text)


def pins(config: TerminalConfig) -> set[str]:
    """Return the pins of relay and inputs."""
    return set(re.findall(r"BOARD\d+", config.door.model_dump_json()))


def test_files_of_two_turnstiles_are_valid(tmp_path: Path) -> None:
    write_files("Two turnstiles", tmp_path)
    one, two = (load_config(tmp_path / f"lane{number}.yaml") for number in (1, 2))
    for config, lane in ((one, "in-1"), (two, "in-2")):
        assert config.instance == config.door.name and config.camera_lane == lane
        assert [found.message for found in check_access(config) if not found.is_ok] == []
        assert config.camera.kind == "opencv" and config.camera.width == 1280
    assert find_conflicts({"lane1": one, "lane2": two}, JETSON) == []
    assert one.gallery_path == two.gallery_path and one.people_path == two.people_path
    assert one.socket_path == Path("/run/mfsa-door/lane1/door.sock")
    assert len(pins(one)) == len(pins(two)) == 3 and not pins(one) & pins(two)


def test_files_of_entry_and_exit_are_valid(tmp_path: Path) -> None:
    write_files("Entry and exit camera of one door", tmp_path)
    entry, leaving = (load_config(tmp_path / f"{name}.yaml") for name in ("terminal", "exit"))
    assert find_conflicts({"terminal": entry, "exit": leaving}, JETSON) == []
    assert (entry.camera_lane, leaving.camera_lane) == ("lab-in", "lab-out")
    assert entry.socket_path == leaving.socket_path and entry.instance is None
    assert entry.door == leaving.door and entry.access == leaving.access
    assert entry.daemon_lock_path != leaving.daemon_lock_path


@pytest.mark.parametrize("name", ["edge-door@", "edge-daemon@"])
def test_page_names_the_units_of_lanes(name: str) -> None:
    units = Path(__file__).resolve().parents[1] / "systemd"
    assert (units / f"{name}.service").exists() and f"{name}lane1" in PAGE.read_text("utf-8")
