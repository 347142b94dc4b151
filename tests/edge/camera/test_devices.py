from __future__ import annotations

from pathlib import Path

from edge.camera.devices import list_devices


def test_devices_list_omits_metadata_nodes(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for number, index in ((10, 0), (2, 0), (3, 1)):
        (tmp_path / f"dev/video{number}").touch()
        about = tmp_path / f"sys/class/video4linux/video{number}"
        about.mkdir(parents=True)
        (about / "index").write_text(f"{index}\n")
        (about / "name").write_text(f"Camera {number}\n")
    (tmp_path / "dev/video-by-name").touch()
    found = [(device.number, device.name, device.is_readable) for device in list_devices(tmp_path)]
    assert found == [(2, "Camera 2", True), (10, "Camera 10", True)]


def test_devices_none_gives_empty_list(tmp_path: Path) -> None:
    assert list_devices(tmp_path) == []
