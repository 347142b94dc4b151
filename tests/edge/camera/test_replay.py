from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera.replay import ReplayCamera
from edge.errors import CameraError

GREY = np.full((48, 64, 3), 100, np.uint8)


class Time:
    """Clock that advances only by sleeping."""

    def __init__(self) -> None:
        self.now = 50.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def read_all(camera: ReplayCamera) -> list[float]:
    times = []
    while (frame := camera.read()) is not None:
        assert frame.number == len(times)
        times.append(frame.at)
    return times


def test_folder_plays_at_its_rate(clip: Callable[..., Path]) -> None:
    time = Time()
    camera = ReplayCamera(clip((GREY, 4)), fps=10, clock=time.clock, sleep=time.sleep)
    assert np.allclose(np.diff(read_all(camera)), 0.1)


def test_late_client_gets_no_burst(clip: Callable[..., Path]) -> None:
    time = Time()
    camera = ReplayCamera(clip((GREY, 6)), fps=10, clock=time.clock, sleep=time.sleep)
    camera.read()
    time.now += 5
    times = read_all_rest(camera)
    assert sum(at - times[0] < 0.05 for at in times) <= 2


def read_all_rest(camera: ReplayCamera) -> list[float]:
    times = []
    while (frame := camera.read()) is not None:
        times.append(frame.at)
    return times


def test_loop_continues(clip: Callable[..., Path]) -> None:
    time = Time()
    camera = ReplayCamera(clip((GREY, 2)), fps=10, loop=True, clock=time.clock, sleep=time.sleep)
    assert [frame.number for frame in (camera.read() for _ in range(7)) if frame] == list(range(7))
    camera.close()
    assert camera.read() is None


def test_videos_and_gifs(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    for _ in range(3):
        writer.write(GREY)
    writer.release()
    assert len(read_all(ReplayCamera(tmp_path / "clip.avi", fps=10, paced=False))) == 3
    image = pytest.importorskip("PIL.Image")
    pages = [image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (0, 100, 200)]
    pages[0].save(tmp_path / "clip.gif", save_all=True, append_images=pages[1:])
    assert len(read_all(ReplayCamera(tmp_path / "clip.gif", fps=10, paced=False))) == 3


@pytest.mark.parametrize(
    "names",
    [
        [f"frame{n}.png" for n in range(12)],
        ["2.png", "010.png", "11.png"],
        ["a1b2.png", "a1b10.png", "a2b1.png"],
        ["IMG_9.PNG", "img_10.png"],
    ],
)
def test_folder_order_is_by_number(tmp_path: Path, names: list[str]) -> None:
    for level, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), 10 * level, np.uint8))
    camera = ReplayCamera(tmp_path, fps=10, paced=False)
    seen = [int(frame.image[0, 0, 0]) // 10 for frame in iter(camera.read, None)]
    assert seen == list(range(len(names)))


def test_folder_layouts_become_bgr(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    half = np.zeros((40, 60, 3), np.uint8)
    half[:, :30] = (0, 0, 255)
    drawn = image.fromarray(half[..., ::-1])
    turned = drawn.getexif()
    turned[0x112] = 6  # turn clockwise to show it upright
    cv2.imwrite(str(tmp_path / "0.png"), cv2.cvtColor(half, cv2.COLOR_BGR2GRAY))
    cv2.imwrite(str(tmp_path / "1.png"), np.dstack([half, np.zeros((40, 60), np.uint8)]))
    cv2.imwrite(str(tmp_path / "2.png"), half.astype(np.uint16) * 257)
    drawn.convert("CMYK").save(tmp_path / "3.jpg", quality=95)
    drawn.convert("P").save(tmp_path / "4.png")
    drawn.save(tmp_path / "5.jpg", exif=turned, quality=95)
    camera = ReplayCamera(tmp_path, fps=10, paced=False)
    frames = [frame.image for frame in iter(camera.read, None)]
    assert all(frame.dtype == np.uint8 and frame.shape == (40, 60, 3) for frame in frames[:5])
    assert int(frames[0][20, 10, 0]) == int(frames[0][20, 10, 2]) == 76
    for frame in frames[1:5]:
        assert np.abs(frame.astype(int) - half).max() < 20
    assert frames[5].shape == (60, 40, 3) and frames[5][10, 20, 2] > 240


def write_video(path: Path, fps: float, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for _ in range(frames):
        writer.write(GREY)
    writer.release()
    return path


@pytest.mark.parametrize(("fps", "expected"), [(None, 1 / 25), (10.0, 0.1)])
def test_video_plays_at_its_own_rate(tmp_path: Path, fps: float | None, expected: float) -> None:
    time = Time()
    path = write_video(tmp_path / "clip.avi", 25, 4)
    camera = ReplayCamera(path, fps=fps, clock=time.clock, sleep=time.sleep)
    assert np.allclose(np.diff(read_all(camera)), expected)


def test_gif_plays_by_its_durations(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pages = [image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (0, 90, 180, 250)]
    shown = [40, 500, 120, 70]
    pages[0].save(tmp_path / "c.gif", save_all=True, append_images=pages[1:], duration=shown)
    time = Time()
    camera = ReplayCamera(tmp_path / "c.gif", loop=True, clock=time.clock, sleep=time.sleep)
    times = [frame.at for frame in (camera.read() for _ in range(6)) if frame]
    assert np.allclose(np.diff(times)[:3], [0.04, 0.5, 0.12]) and 0 < times[4] - times[3] < 0.5


def test_folder_plays_at_15_frames(clip: Callable[..., Path]) -> None:
    time = Time()
    camera = ReplayCamera(clip((GREY, 4)), clock=time.clock, sleep=time.sleep)
    assert np.allclose(np.diff(read_all(camera)), 1 / 15)


def test_folder_unreadable_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every folder")
    tmp_path.chmod(0)
    with pytest.raises(CameraError, match="cannot be read"):
        ReplayCamera(tmp_path)


def test_recording_damaged_later_ends_there(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pages = [image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(4)]
    pages[0].save(tmp_path / "c.gif", save_all=True, append_images=pages[1:], duration=50)
    original = (tmp_path / "c.gif").read_bytes()
    (tmp_path / "c.gif").write_bytes(original[: len(original) * 5 // 8])
    assert 0 < len(read_all(ReplayCamera(tmp_path / "c.gif", fps=10, paced=False))) < 4


def test_invalid_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no such recording"):
        ReplayCamera(tmp_path / "none", fps=10)
    with pytest.raises(CameraError, match="no pictures in this folder"):
        ReplayCamera(tmp_path, fps=10)
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(CameraError, match="no frame can be read"):
        ReplayCamera(tmp_path, fps=10, paced=False).read()


def test_damaged_gif_is_reported(tmp_path: Path) -> None:
    """Exceptions of the reader differ by the damaged bytes: of the size, of the colours."""
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((48, 64, 3), 100, np.uint8)).save(tmp_path / "original.gif")
    original = (tmp_path / "original.gif").read_bytes()
    for damaged in (
        original[:6] + b"\xff\xff\xff\xff" + original[10:],
        original[:13],
        original[:12],
        original[:-20],
    ):
        (tmp_path / "clip.gif").write_bytes(damaged)
        with pytest.raises(CameraError, match="not a GIF that can be read"):
            ReplayCamera(tmp_path / "clip.gif", fps=10, paced=False).read()


def test_folder_leftovers_are_no_frames(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8, 3), 10, np.uint8))
    cv2.imwrite(str(tmp_path / "._1.png"), np.full((8, 8, 3), 90, np.uint8))
    camera = ReplayCamera(tmp_path, fps=10, paced=False)
    assert [int(frame.image[0, 0, 0]) for frame in iter(camera.read, None)] == [10]
