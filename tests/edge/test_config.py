from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config import load_config, renamed
from edge.config.recognition import CsiCameraConfig
from edge.errors import ConfigError, describe_source, without_credentials

WriteConfig = Callable[..., Path]


def test_relative_paths_resolve_from_the_file(write_config: WriteConfig, tmp_path: Path) -> None:
    config = load_config(write_config())
    assert config.state == tmp_path / "state"
    assert config.socket_path == tmp_path / "state" / "door.sock"
    assert config.camera.kind == "replay" and config.camera.path == tmp_path / "clip"


def test_shipped_sample_is_valid() -> None:
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
        'engin (line 10): unknown key; did you mean "engine"?',
        "detector.min_score (line 7): expected less than 1.0, found 7",
        "liveness: required; for example liveness: {kind: layers}",
        "door.pulse_s",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (": [", "not valid YAML"),
        ("- 1", "found a list"),
        ("", "found nothing"),
        ("camera: {kind: telescope}", "camera"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: 2026-13-45", "a .line 1.: unknown key"),
        ("a: !!timestamp soon", "line 1: tags such as !!int are not supported"),
    ],
)
def test_invalid_file_is_refused(tmp_path: Path, text: str, part: str) -> None:
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


def test_network_camera_needs_opt_in(write_config: WriteConfig) -> None:
    camera = {"kind": "opencv", "source": "rtsp://user:secret@camera/1"}
    with pytest.raises(ConfigError, match="accept_network_injection") as caught:
        load_config(write_config(camera=camera))
    assert "secret" not in str(caught.value)
    assert load_config(write_config(camera={**camera, "accept_network_injection": True}))


def test_long_socket_path_is_refused(write_config: WriteConfig) -> None:
    with pytest.raises(ConfigError, match="longer than the 107 bytes"):
        load_config(write_config(door={"socket": "x" * 120}))


def test_errors_hide_camera_passwords(write_config: WriteConfig, tmp_path: Path) -> None:
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


SECRET = "s3cretXyz"
SOURCES = [
    f"rtsp://admin:{SECRET}@host:554/1",
    f"rtsp://admin:a@{SECRET}@host/1",
    f"rtsp://admin:a/{SECRET}@host/1",
    f"rtsp://admin:a {SECRET}@host/1",
    f"rtsp://12:34/{SECRET}@host",
    f"rtsps://host:7441/{SECRET}",
    f"rtsp://[fe80::1]:554/user=admin_password={SECRET}_channel=1.sdp",
    f"http://host/video.cgi?user=admin&pwd={SECRET}",
    f"http://host/video#{SECRET}",
    f"rtspsrc location=rtsp://host/x user-id=admin user-pw={SECRET} ! decodebin ! appsink",
    f"rtspsrc location=rtsp://u:{SECRET}@host/x user-pw='{SECRET} {SECRET}' ! appsink",
    f'souphttpsrc location="http://host/?a={SECRET}" user-pw = {SECRET}! appsink',
]


@pytest.mark.parametrize("source", SOURCES)
def test_source_name_has_no_secret(source: str) -> None:
    assert SECRET not in describe_source(source)
    for text in (source, f"camera.source: wrong (found {source!r}); correct it", f"{source}: lost"):
        assert SECRET not in without_credentials(text)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("key", ["source", "width", "kind", "typo"])
def test_config_error_has_no_secret(write_config: WriteConfig, source: str, key: str) -> None:
    camera = {"kind": "opencv", "source": "rtsp://host/1", "width": 0, key: source}
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(camera=camera))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (0, "0"),
        ("/dev/v4l/by-id/usb-cam-index0", "/dev/v4l/by-id/usb-cam-index0"),
        ("rtsp://user:pw@camera.example:554/live?x=1", "rtsp://camera.example:554"),
        ("v4l2src device=/dev/video0 ! appsink", "pipeline of v4l2src"),
    ],
)
def test_source_name_is_useful(source: int | str, name: str) -> None:
    assert describe_source(source) == name


def test_camera_address_hides_its_password() -> None:
    assert (
        without_credentials("found 'rtsp://user:secret@host/1', a: b@c")
        == "found 'rtsp://host', a: b@c"
    )


@pytest.mark.parametrize(
    ("source", "is_network"),
    [
        (0, False),
        ("0", False),
        ("/dev/v4l/by-id/usb-cam-index0", False),
        ("rtsp://host/1", True),
        ("v4l2src device=/dev/video0 ! jpegdec ! appsink", False),
        ("nvarguscamerasrc ! nvvidconv ! appsink", False),
        ("udpsrc port=5000 ! rtph264depay ! appsink", True),
        ("rtspsrc location=rtsp://host/1 ! appsink", True),
        ("v4l2src ! mix.  udpsrc port=5 ! mix.", True),
        ("playbin uri=host ! appsink", True),
    ],
)
def test_source_network_is_recognised(
    write_config: WriteConfig, source: int | str, is_network: bool
) -> None:
    camera = {"kind": "opencv", "source": source}
    if is_network:
        with pytest.raises(ConfigError, match="accept_network_injection"):
            load_config(write_config(camera=camera))
    else:
        load_config(write_config(camera=camera))


def test_csi_pipeline_is_made_of_its_keys(write_config: WriteConfig) -> None:
    camera = {"kind": "csi", "sensor_id": 1, "width": 1920, "height": 1080, "fps": 25}
    found = load_config(write_config(camera={**camera, "flip_method": 2})).camera
    assert isinstance(found, CsiCameraConfig) and found.pipeline == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM),width=1920,height=1080,framerate=25/1,format=NV12 ! "
        "nvvidconv flip-method=2 ! video/x-raw,format=BGRx ! videoconvert ! "
        "video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


@pytest.mark.parametrize(
    "camera",
    [
        {"kind": "opencv", "source": "clip.mp4"},
        {"kind": "opencv", "source": "file:///clip.mp4"},
        {"kind": "opencv", "source": -1},
        {"kind": "opencv", "source": 0, "pixel_format": "MJPEG"},
        {"kind": "opencv", "source": 0, "rotate": 45},
        {"kind": "csi", "flip_method": 8},
    ],
)
def test_camera_config_wrong_is_refused(
    write_config: WriteConfig, camera: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="camera"):
        load_config(write_config(camera=camera))


@pytest.mark.parametrize("source", ["017", "\u0663", "-1", "1_0", "0x1"])
def test_source_number_of_another_form_refused(write_config: WriteConfig, source: str) -> None:
    with pytest.raises(ConfigError, match=r"camera\.source"):
        load_config(write_config(camera={"kind": "opencv", "source": source}))


@pytest.mark.parametrize("path", ["", " ", "~/state", "a\0b", "a\nb"])
@pytest.mark.parametrize("key", ["bundle", "state", "key", "door.socket", "camera.path"])
def test_config_path_no_one_can_mean_refused(
    write_config: WriteConfig, key: str, path: str
) -> None:
    section, _, name = key.partition(".")
    kind = {"kind": "replay"} if section == "camera" else {}
    changed = {section: {**kind, name: path} if name else path}
    with pytest.raises(ConfigError, match=rf"{key} \(line \d+\): expected a .*path"):
        load_config(write_config(**changed))


@pytest.mark.parametrize(("old", "new"), renamed.KEYS.items())
def test_config_old_key_names_the_new(write_config: WriteConfig, old: str, new: str) -> None:
    section, *rest = old.split(".")
    value: object = 1
    for name in reversed(rest):
        value = {name: value}
    others = (
        {"liveness": {"kind": "layers", **value}} if section == "liveness" else {section: value}
    )
    with pytest.raises(
        ConfigError, match=rf"{re.escape(old)} \(line \d+\): renamed; write {re.escape(new)}"
    ):
        load_config(write_config(**others))


@pytest.mark.parametrize(("place", "new"), renamed.VALUES.items())
def test_config_old_value_names_the_new(
    write_config: WriteConfig, place: tuple[str, str], new: str
) -> None:
    section, _, name = place[0].partition(".")
    kind = {"kind": "layers"} if section == "liveness" else {}
    with pytest.raises(ConfigError, match=rf"{place[0]} \(line \d+\): renamed; write {new}, found"):
        load_config(write_config(**{section: {**kind, name: place[1]}}))
