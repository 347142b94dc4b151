"""Configuration files that extend others: merging, positions in messages, refusals, reload."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from edge.config import TerminalConfig, load_config, load_config_files
from edge.config.files import read_config_files
from edge.config.restart import check_unchanged
from edge.door.config_reloader import ConfigReloader
from edge.errors import ConfigError
from tests.processes import until

COMMON = """\
terminal: hall
bundle: bundle
liveness: {kind: none}
door:
  pulse_s: 2.0
  clients: [root]
camera: {kind: replay, path: clip, fps: 5}
access:
  lanes:
    - {name: in, door: left}
    - {name: out, door: right}
"""
LANE = """\
extends: terminal.yaml
door: {name: left, clients: []}
camera:
  path: other
"""


def write(folder: Path, **texts: str) -> Path:
    """Write lane.yaml, terminal.yaml and others; return the first one."""
    for name, text in {"terminal": COMMON, "lane": LANE, **texts}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "lane.yaml"


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


def test_common_part_names_its_lane_files(tmp_path: Path) -> None:
    write(tmp_path, lane2=LANE.replace("left", "right"))
    found = refusal(tmp_path / "terminal.yaml")
    assert "common part of lane.yaml, lane2.yaml" in found and "no lane of" not in found
    lanes = f"{tmp_path / 'lane.yaml'} {tmp_path / 'lane2.yaml'}"
    assert f"edge-door check --config {lanes}" in found


def test_error_in_common_part_is_kept(tmp_path: Path) -> None:
    write(tmp_path, terminal=COMMON.replace("pulse_s: 2.0", "pulse_s: -2"))
    found = refusal(tmp_path / "terminal.yaml")
    assert "door.pulse_s" in found and "only the common part of lane.yaml" in found


def test_sections_merge_and_other_values_replace(tmp_path: Path) -> None:
    config, files = load_config_files(write(tmp_path))
    assert (config.terminal, config.door.name, config.door.pulse_s) == ("hall", "left", 2.0)
    assert config.door.clients == () and len(config.access.lanes) == 2
    assert config.camera.kind == "replay" and config.camera.fps == 5
    assert config.camera.path == tmp_path / "other" and config.extends == tmp_path / "terminal.yaml"
    assert files == (tmp_path / "lane.yaml", tmp_path / "terminal.yaml")


def test_chain_of_files_is_merged(tmp_path: Path) -> None:
    top = "extends: lane.yaml\nterminal: top\ndoor: {pulse_s: 4.0}\n"
    write(tmp_path, top=top)
    config, files = load_config_files(tmp_path / "top.yaml")
    assert (config.terminal, config.door.name, config.door.pulse_s) == ("top", "left", 4.0)
    assert [file.name for file in files] == ["top.yaml", "lane.yaml", "terminal.yaml"]


def test_paths_resolve_from_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path)
    (tmp_path / "sub" / "lane.yaml").write_text(LANE.replace("terminal", "../terminal"))
    config = load_config(tmp_path / "sub" / "lane.yaml")
    assert config.bundle.resolve() == tmp_path / "bundle"
    assert config.camera.kind == "replay" and config.camera.path == tmp_path / "sub" / "other"


def test_problems_name_their_file_and_line(tmp_path: Path) -> None:
    common = COMMON.replace("2.0", "-1") + "extra-key: {}\n"
    message = refusal(write(tmp_path, terminal=common, lane=f"{LANE}engine: {{kind: x}}\n"))
    base = tmp_path / "terminal.yaml"
    assert message.startswith(f"{tmp_path / 'lane.yaml'}: 3 problems:")
    first, second, third = message.splitlines()[1:]
    assert "engine.kind (line 5): expected" in first
    assert f"door.pulse_s ({base}, line 5): expected more than 0" in second
    assert f"extra-key ({base}, line 12): unknown key" in third


def test_replaced_value_has_the_new_position(tmp_path: Path) -> None:
    common = COMMON.replace("[root]", "{x: -1}").replace("2.0", "off")
    lane = LANE.replace("clients: []", "clients: {y: 1}, pulse_s: on")
    message = refusal(write(tmp_path, terminal=common, lane=lane))
    assert "clients (line 2)" in message and "terminal.yaml" not in message


def test_word_of_old_yaml_names_its_file(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, terminal=COMMON.replace("hall", "off")))
    assert f"terminal ({tmp_path / 'terminal.yaml'}, line 1): found the word off" in message


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"lane": "extends: none.yaml\n"}, "none.yaml: cannot read .*lane.yaml extends this file"),
        ({"terminal": "- a\n"}, "terminal.yaml: expected keys .* found a list; .*lane.yaml ext"),
        ({"terminal": "a: ["}, "terminal.yaml: not valid YAML.* line 1.*lane.yaml extends"),
        ({"lane": "extends: [a]\n"}, r"lane.yaml: extends \(line 1\): expected the path"),
        ({"lane": "extends:\n"}, r"lane.yaml: extends \(line 1\): expected the path"),
        ({"lane": "extends: lane.yaml\n"}, "is extended by itself"),
        ({"terminal": f"{COMMON}extends: ./lane.yaml\n"}, "by itself: .*lane.yaml -> .*terminal"),
        ({"terminal": "extends: lane.yaml\n"}, r"terminal.yaml: extends \(line 1\): .* by itself"),
    ],
)
def test_extended_file_invalid_is_refused(
    tmp_path: Path, texts: dict[str, str], words: str
) -> None:
    assert re.search(words, refusal(write(tmp_path, **texts)))


def test_long_chain_is_refused(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    assert "more than 8 files extend each other" in refusal(tmp_path / "0.yaml")


def test_section_of_another_kind_names_the_file(tmp_path: Path) -> None:
    lane = LANE.replace("path: other", "{kind: opencv, source: 0}").replace("camera:\n ", "camera:")
    message = refusal(write(tmp_path, lane=lane))
    assert "camera.path" in message and "terminal.yaml, line 7" in message


def test_changed_base_needs_a_restart(tmp_path: Path) -> None:
    def changed(old: str, new: str) -> TerminalConfig:
        write(tmp_path, terminal=COMMON.replace(old, new))
        return load_config(tmp_path / "lane.yaml")

    config = load_config(write(tmp_path))
    check_unchanged(config, changed("2.0", "3.0"), "door")
    with pytest.raises(ConfigError, match="access: another value needs a restart"):
        check_unchanged(config, changed("name: out", "name: exit"), "door")
    with pytest.raises(ConfigError, match="bundle: another value needs a restart"):
        check_unchanged(config, changed("bundle: bundle", "bundle: new"), "recogniser")


def test_reload_reads_the_extended_file_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    reloader = ConfigReloader(path)
    write(tmp_path, terminal=COMMON.replace("pulse_s: 2.0", "pulse_s: 7.0").replace("root", "root"))
    reloader.start()
    results: list[object] = []
    until(lambda: (found := reloader.poll()) is not None and not results.append(found), "reload")
    config, settings = results[0]  # type: ignore[misc]
    assert (config.door.pulse_s, settings.timing.pulse_s) == (7.0, 7.0)


@pytest.mark.parametrize("kind", ["fifo", "large"])
def test_extended_fifo_or_huge_file_is_refused(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base.yaml"
    if kind == "fifo":
        os.mkfifo(base)
    else:
        with base.open("wb") as file:
            file.truncate(1 << 40)  # sparse
    path = tmp_path / "lane1.yaml"
    path.write_text("extends: base.yaml\n")
    with pytest.raises(
        ConfigError, match=r"cannot read the configuration \((expected a reg|larger)"
    ):
        read_config_files(path)
