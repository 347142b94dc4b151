from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config import load_config
from edge.errors import ConfigError, without_credentials

WriteConfig = Callable[..., Path]


def test_relative_paths_start_at_the_file(write_config: WriteConfig, tmp_path: Path) -> None:
    config = load_config(write_config())
    assert config.state == tmp_path / "state"
    assert config.socket_path == tmp_path / "state" / "door.sock"
    assert config.camera.kind == "replay" and config.camera.path == tmp_path / "clip"


def test_the_sample_that_ships_is_valid() -> None:
    sample = Path(__file__).resolve().parents[2] / "systemd" / "terminal.yaml"
    assert load_config(sample).door.pulse_s > 0


def test_all_wrong_keys_are_named_at_once(write_config: WriteConfig) -> None:
    path = write_config(
        engin={"kind": "ort"}, detector={"min_score": 7}, liveness=None, door={"pulse_s": -1}
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    for part in (
        "engin: unknown key",
        "detector.min_score",
        "found 7",
        "liveness: missing",
        "door.pulse_s",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (": [", "not valid YAML"),
        ("- 1", "found list"),
        ("", "found NoneType"),
        ("camera: {kind: telescope}", "camera"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: 2026-13-45", "not valid YAML: month must be in"),
        ("a: !!timestamp soon", "not valid YAML"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=part):
        load_config(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "binary.yaml")


def test_a_network_camera_needs_the_opt_in(write_config: WriteConfig) -> None:
    camera = {"kind": "opencv", "source": "rtsp://user:secret@camera/1"}
    with pytest.raises(ConfigError, match="accept_network_injection") as caught:
        load_config(write_config(camera=camera))
    assert "secret" not in str(caught.value)
    assert load_config(write_config(camera={**camera, "accept_network_injection": True}))


def test_a_socket_path_that_is_too_long_is_refused(write_config: WriteConfig) -> None:
    with pytest.raises(ConfigError, match="longer than the 107 bytes"):
        load_config(write_config(door={"socket": "x" * 120}))


def test_no_error_tells_a_camera_s_password(write_config: WriteConfig, tmp_path: Path) -> None:
    for camera in (
        {"kind": "opencvv", "source": "rtsp://user:secret@host/1"},
        {"source": "rtsp://user:secret@host/1"},
        {
            "kind": "opencv",
            "source": "rtsp://user:secret@host/1",
            "width": "rtsp://user:secret@host/1",
        },
        {"kind": "opencv", "source": ["rtsp://user:secret@host/1"]},
        {"kind": "opencv", "source": 0, "rtsp//user:secret@host/1": 1},
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(write_config(camera=camera))
        assert "secret" not in str(caught.value)
    source = "rtsp://" + "x" * 80 + ":secret@host/1"
    for broken in (f"camera:\n  source {source}\n  width: 640\n", f"camera: [{source}\n"):
        (tmp_path / "broken.yaml").write_text(broken)
        with pytest.raises(ConfigError, match=r"not valid YAML.* line ") as caught:
            load_config(tmp_path / "broken.yaml")
        assert "secret" not in str(caught.value)


def test_an_address_keeps_its_place_without_its_password() -> None:
    assert (
        without_credentials("found 'rtsp://user:secret@host/1', a: b@c")
        == "found 'rtsp://host/1', a: b@c"
    )
