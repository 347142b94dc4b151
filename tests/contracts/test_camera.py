"""Contract of every camera: frames are numbered and ordered, a lost source is a CameraError."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from cv2.videoio_registry import hasBackend

from edge.camera import Camera, check_camera, open_camera
from edge.camera.opencv import OpencvCamera, check_backend
from edge.camera.oriented import OrientedCamera
from edge.camera.replay import ReplayCamera
from edge.config import load_config
from edge.errors import CameraError
from tests.processes import until
from tests.streams import VideoStream, mjpeg_camera, mute_camera

FRAMES = 5
Opener = Callable[[], Camera]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in range(FRAMES):
        writer.write(np.full((48, 64, 3), 40 * level, np.uint8))
    writer.release()
    return path


@pytest.fixture(params=["folder", "video", "turned", "http"])
def opener(
    request: pytest.FixtureRequest, video: Path, clip: Callable[..., Path]
) -> Iterator[Opener]:
    black = np.zeros((48, 64, 3), np.uint8)
    if request.param == "http":
        with mjpeg_camera(black, fps=30) as camera:
            yield lambda: OpencvCamera(camera.address)
    elif request.param == "turned":
        yield lambda: OrientedCamera(ReplayCamera(video, fps=240), rotate=180, mirror=True)
    else:
        path = clip((black, FRAMES)) if request.param == "folder" else video
        yield lambda: ReplayCamera(path, fps=240)


def test_frames_are_numbered_and_in_order(opener: Opener) -> None:
    camera = opener()
    frames, read_at = [], []
    for _ in range(FRAMES):
        frames.append(camera.read())
        read_at.append(time.monotonic())
    camera.close()
    times = [frame.at for frame in frames if frame is not None]
    assert [frame.number for frame in frames if frame is not None] == list(range(FRAMES))
    assert times == sorted(times) and all(map(operator.le, times, read_at))
    for frame in frames:
        assert (
            frame is not None and frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        )


def test_recording_at_its_end_gives_none(video: Path) -> None:
    camera = ReplayCamera(video, fps=240)
    for _ in range(FRAMES):
        camera.read()
    assert camera.read() is None
    camera.close()


def test_stream_end_is_lost_camera() -> None:
    with mjpeg_camera(np.zeros((48, 64, 3), np.uint8), fps=60) as source:
        camera = OpencvCamera(source.address)
        assert camera.read() is not None
        source.close()
        with pytest.raises(CameraError, match="gave no frame"):
            while True:
                camera.read()
        camera.close()


def test_stream_stall_drops_old_frames(tmp_path: Path) -> None:
    """Timestamps of the stream show how long frames waited before they were read."""
    fps = 20.0
    source = VideoStream(tmp_path / "clip.mpg", fps=fps)
    camera = OpencvCamera(source.address)
    before = camera.read()
    assert before is not None
    began = source.level(before.image)
    until(lambda: source.sent > began + 3 * fps, "frames wait in buffers")
    after = camera.read()
    assert after is not None and time.monotonic() - after.at <= 1.1
    assert source.level(after.image) > began + 1.5 * fps
    exposed_s = (source.level(after.image) - began) / fps
    assert after.at - before.at == pytest.approx(exposed_s, abs=0.5)
    camera.close()
    source.close()


def test_close_twice_is_allowed(opener: Opener) -> None:
    camera = opener()
    camera.close()
    camera.close()


def test_missing_source_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for missing in (63, "/dev/video63", "http://127.0.0.1:1/img_001.jpg", "rtsp://127.0.0.1:1/x"):
        with pytest.raises(CameraError, match="cannot be opened"):
            OpencvCamera(missing)
    with pytest.raises(CameraError, match="no such recording"):
        ReplayCamera(tmp_path / "none.avi", fps=10)
    assert capfd.readouterr().err == ""


def test_camera_mute_is_refused_in_time() -> None:
    began = time.monotonic()
    with mute_camera() as address, pytest.raises(CameraError, match="cannot be opened"):
        OpencvCamera(address)
    assert time.monotonic() - began < 25  # OpenCV's own limit is 30


def test_pipeline_without_gstreamer_is_named() -> None:
    if hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    for check in (OpencvCamera, check_backend):
        with pytest.raises(CameraError, match=r"pipeline of v4l2src needs GStreamer, which this"):
            check("v4l2src device=/dev/video0 ! videoconvert ! appsink")


def test_stream_credentials_are_hidden() -> None:
    with pytest.raises(CameraError) as caught:
        OpencvCamera("rtsp://admin:secret@127.0.0.1:1/stream")
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_choice_by_config(write_config: Callable[..., Path], video: Path) -> None:
    with mjpeg_camera(np.zeros((48, 64, 3), np.uint8)) as source:
        fields = {"source": source.address, "accept_network_injection": True}
        config = load_config(write_config(camera={"kind": "opencv", **fields}))
        camera = open_camera(config.camera)
        assert isinstance(camera, OpencvCamera)
        camera.close()
    config = load_config(write_config(camera={"kind": "replay", "path": str(video)}))
    check_camera(config.camera)
    assert isinstance(open_camera(config.camera), ReplayCamera)


def test_camera_key_without_effect_is_logged(
    write_config: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    for source, words in ((0, ""), ("rtsp://camera/1", "`fps`, `width` is for V4L2 devices")):
        camera = {"kind": "opencv", "source": source, "accept_network_injection": True}
        check_camera(load_config(write_config(camera={**camera, "width": 640, "fps": 5})).camera)
        assert words in caplog.text and bool(words) == bool(caplog.text)


def test_camera_rotate_and_mirror(write_config: Callable[..., Path], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "0.png"), picture)
    turned = {"rotate": 90, "mirror": True}
    config = load_config(write_config(camera={"kind": "replay", "path": ".", **turned}))
    frame = open_camera(config.camera).read()
    assert frame is not None and np.array_equal(frame.image, np.rot90(picture, -1)[:, ::-1])
