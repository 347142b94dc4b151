"""One suite for every camera: numbered frames in order of time, a lost source is a CameraError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera import Camera, open_camera
from edge.camera.opencv import OpencvCamera
from edge.camera.replay import ReplayCamera
from edge.config import load_config
from edge.errors import CameraError

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


@pytest.fixture(params=["folder", "video", "opencv"])
def opener(request: pytest.FixtureRequest, video: Path, clip: Callable[..., Path]) -> Opener:
    if request.param == "opencv":
        return lambda: OpencvCamera(str(video))
    path = clip((np.zeros((48, 64, 3), np.uint8), FRAMES)) if request.param == "folder" else video
    return lambda: ReplayCamera(path, fps=240)


def test_frames_are_numbered_pictures_in_order_of_time(opener: Opener) -> None:
    camera = opener()
    frames = [camera.read() for _ in range(FRAMES)]
    camera.close()
    times = [frame.at for frame in frames if frame is not None]
    assert [frame.number for frame in frames if frame is not None] == list(range(FRAMES))
    assert times == sorted(times)
    for frame in frames:
        assert (
            frame is not None and frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        )


def test_after_the_last_frame_there_is_none(opener: Opener) -> None:
    camera = opener()
    for _ in range(FRAMES):
        camera.read()
    try:
        assert camera.read() is None  # the end of a recording ...
    except CameraError as error:
        assert "gave no frame" in str(error)  # ... or a camera that was lost
    camera.close()


def test_closing_twice_is_closing(opener: Opener) -> None:
    camera = opener()
    camera.close()
    camera.close()


def test_a_source_that_is_not_there_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for missing in (lambda: OpencvCamera(63), lambda: OpencvCamera(str(tmp_path / "none.avi"))):
        with pytest.raises(CameraError, match="cannot be opened"):
            missing()
    with pytest.raises(CameraError, match="no such recording"):
        ReplayCamera(tmp_path / "none.avi", fps=10)
    assert capfd.readouterr().err == ""


def test_credentials_of_a_stream_are_not_told() -> None:
    with pytest.raises(CameraError) as caught:
        OpencvCamera("rtsp://admin:secret@127.0.0.1:1/stream")
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_the_choice_by_config(write_config: Callable[..., Path], video: Path) -> None:
    config = load_config(write_config(camera={"kind": "opencv", "source": str(video)}))
    camera = open_camera(config.camera)
    assert isinstance(camera, OpencvCamera)
    camera.close()
