from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import numpy as np
import pytest

from edge.camera import capture
from edge.camera.capture import Capture, FrameSlot
from edge.errors import CameraError
from edge.values import Frame
from tests.processes import TIMEOUT_S, until

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Clock:
    """Clock moved by the test only: a busy machine makes no frame older and no read longer."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


def frame(number: int) -> Frame:
    return Frame(IMAGE, CLOCK(), number)


class Scripted:
    """Camera by steps: a number is a frame, an exception is raised, an event is waited for."""

    def __init__(self, steps: Iterable[object]) -> None:
        self._steps = iter(steps)
        self.closed = self.hangs = False

    def read(self) -> Frame | None:
        step = next(self._steps, None)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, threading.Event):
            self.hangs = True
            step.wait(TIMEOUT_S)
            return None
        return None if step is None else frame(int(step))  # type: ignore[call-overload]

    def close(self) -> None:
        self.closed = True


def given(frames: Capture) -> int | None:
    """Return the number of the newest frame, None if none comes soon."""
    taken = frames.take(0.01)
    return None if taken is None else taken.number


def test_the_newest_frame_wins() -> None:
    slot = FrameSlot()
    for number in range(3):
        slot.put(frame(number))
    taken = slot.take(0)
    assert taken is not None and taken.number == 2
    assert slot.dropped == 2 and slot.take(0) is None


def test_lockstep_loses_no_frame_and_ends() -> None:
    frames = Capture(lambda: Scripted(range(50)), lockstep=True)
    seen = []
    while not frames.ended:
        taken = frames.take(1)
        if taken is not None:
            seen.append(taken.number)
    assert seen == list(range(50)) and frames.dropped == 0


def test_lost_camera_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "BACK_OFF_S", (0.01,))
    hold = threading.Event()
    scripts = iter(
        [Scripted([0, CameraError("unplugged")]), CameraError("not there"), Scripted([1, hold])]
    )

    def opener() -> Scripted:
        camera = next(scripts)
        if isinstance(camera, Exception):
            raise camera
        return camera

    frames = Capture(opener, clock=CLOCK)
    losses: list[str | None] = []

    def back() -> bool:
        losses.append(frames.lost)
        taken = frames.take(0.005)
        return taken is not None and taken.number == 1

    until(back, "the camera is back")
    assert frames.lost is None
    hold.set()
    frames.close()


def test_hang_after_loss_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "BACK_OFF_S", (0.01,))
    hang = threading.Event()
    hanging = Scripted([hang])
    scripts = iter([Scripted([0, CameraError("unplugged")]), hanging, Scripted([5, hang])])
    frames = Capture(lambda: next(scripts), clock=CLOCK)
    until(lambda: hanging.hangs, "the second one hangs")
    frames.take(0)
    CLOCK.now += 2 * capture.HUNG_S
    until(lambda: given(frames) == 5, "the third one gives frames")
    assert frames.lost is None
    hang.set()
    frames.close()


def test_driver_exception_is_a_lost_camera(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "BACK_OFF_S", (0.01,))
    hang = threading.Event()
    scripts = iter([Scripted([0, RuntimeError("driver")]), Scripted([5, hang])])
    frames = Capture(lambda: next(scripts), clock=CLOCK)
    until(lambda: given(frames) == 5, "the next one gives frames")
    hang.set()
    frames.close()


def test_close_waits_for_read_but_not_for_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "CLOSE_S", 0.5)
    hang = threading.Event()
    camera = Scripted([0, hang])
    frames = Capture(lambda: camera, clock=CLOCK)
    until(lambda: camera.hangs, "hangs")
    began = time.monotonic()
    frames.close()
    assert time.monotonic() - began >= 0.5 and not camera.closed
    hang.set()
    frames.close()
    assert camera.closed


def test_hanging_read_is_abandoned() -> None:
    hang = threading.Event()
    opened: list[Scripted] = []

    def opener() -> Scripted:
        opened.append(Scripted([7 if opened else 0, hang]))
        return opened[-1]

    frames = Capture(opener, clock=CLOCK)

    def hung(times: int) -> None:
        until(lambda: len(opened) == times and opened[-1].hangs, f"hangs for the {times}. time")
        frames.take(0)  # the frame from before
        CLOCK.now += 2 * capture.HUNG_S

    hung(1)
    until(lambda: given(frames) == 7, "the second one gives frames")
    for times in range(2, 6):
        hung(times)
        frames.take(0)
    hung(6)
    with pytest.raises(CameraError, match="the camera hung 6 times"):
        frames.take(0)
    hang.set()
    frames.close()
    until(lambda: opened[0].closed, "closes what was given up")


def test_capture_old_frame_is_dropped() -> None:
    clock, hold = Clock(), threading.Event()

    class Dated:
        def __init__(self) -> None:
            self.ages = iter([1.2, 0.9])

        def read(self) -> Frame | None:
            age = next(self.ages, None)
            if age is None:
                hold.wait(TIMEOUT_S)
                return None
            return Frame(IMAGE, clock.now - age, round(10 * age))

        def close(self) -> None:
            pass

    frames = Capture(Dated, clock=clock)
    until(lambda: given(frames) == 9, "the newer one counts")
    hold.set()
    frames.close()


def test_capture_frame_ages_in_the_slot() -> None:
    """A process may be stopped between reading and using a frame."""
    clock, hold = Clock(), threading.Event()

    reads: list[int] = []

    class Once(Scripted):
        def read(self) -> Frame | None:
            reads.append(len(reads))  # the second begins once the first frame is in the slot
            read = super().read()
            return None if read is None else Frame(IMAGE, clock.now, read.number)

    frames = Capture(lambda: Once([0, hold]), clock=clock)
    until(lambda: reads == [0, 1], "the frame is in the slot")
    clock.now += 2.0
    assert frames.take(1) is None and frames.stale == 1
    hold.set()
    frames.close()


def test_capture_silent_camera_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """A blocking first read is a loss too; it is logged at once, then rarely."""
    clock, hold = Clock(), threading.Event()
    frames = Capture(lambda: Scripted([hold]), clock=clock)
    assert frames.take(0.01) is None and frames.lost is None
    clock.now += 9.0
    for _ in range(5):
        assert frames.take(0.01) is None
    assert frames.lost is not None and "no frame" in frames.lost
    assert caplog.text.count("camera lost") == 1
    hold.set()
    frames.close()


def test_capture_loss_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capture, "BACK_OFF_S", (0.001,))
    clock, tries = Clock(), []

    def refuse() -> Scripted:
        tries.append(1)
        raise CameraError("camera rtsp://u:s3cret@host/x cannot be opened")

    frames = Capture(refuse, clock=clock)
    until(lambda: frames.take(0.001) is None and len(tries) > 20, "is tried again")
    assert caplog.text.count("camera lost") == 1 and "s3cret" not in caplog.text
    assert frames.lost is not None and frames.lost.startswith("camera rtsp://host")
    clock.now += 601
    frames.take(0.001)
    assert caplog.text.count("camera lost") == 2
    frames.close()


def test_capture_threads_that_return_are_free() -> None:
    """A read that hangs and returns later does not end the process."""
    hangs = [threading.Event() for _ in range(9)]
    cameras = [Scripted([hang]) for hang in hangs]
    waiting = iter(cameras)
    frames = Capture(lambda: next(waiting), clock=CLOCK)
    for hang, camera in zip(hangs[:8], cameras, strict=False):
        until(lambda camera=camera: camera.hangs, "hangs")  # type: ignore[misc]
        CLOCK.now += 2 * capture.HUNG_S
        assert frames.take(0) is None
        hang.set()
        until(lambda camera=camera: camera.closed, "returns")  # type: ignore[misc]
    for hang in hangs:
        hang.set()
    frames.close()
