"""Layers on drawn attacks and recordings of living people; no detection rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.pad import LAYERS, play_clip
from edge.face.detect import FaceDetector
from edge.face.liveness import LivenessResult, LivenessState, crop_frame
from edge.face.liveness.motion import MotionLiveness
from edge.rehearsal import adversarial
from edge.synthesis.drawing import cut_out

FPS = 15.0


def play(detector: FaceDetector, clip: str, layer: str, seconds: float) -> list[LivenessResult]:
    """Return the result after each frame of a drawn clip, played forward and backward."""
    drawn = next(c for c in adversarial.adversarial_clips(cut_out(detector)) if c.name == clip)
    frames = [shot.image for shot in drawn.play()]
    there_and_back = [*frames, *frames[-2:0:-1]]
    rng, made, answers = np.random.default_rng(0), LAYERS[layer](), []
    for i in range(round(seconds * FPS)):
        image = there_and_back[i % len(there_and_back)]
        if clip != "frozen-stream":  # the noise of a camera never repeats
            image = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        face = max(detector.detect(image), key=lambda found: found.width_px)
        made.observe(crop_frame(image, face, i / FPS))
        answers.append(made.result(i / FPS, near_threshold=True))
    return answers


@pytest.mark.parametrize(
    ("clip", "layer", "reason"),
    [
        ("frozen-stream", "motion", "frozen"),
        ("photo", "motion", "no-motion"),
        ("screen", "motion", "no-motion"),
        ("screen", "screen", "screen"),
    ],
)
def test_drawn_attacks_are_refused(
    detector: FaceDetector, clip: str, layer: str, reason: str
) -> None:
    answers = play(detector, clip, layer, 5.0)
    assert (answers[-1].state, answers[-1].reason) == (LivenessState.FAILED, reason)
    if layer == "motion":
        assert all(answer.state is not LivenessState.PASSED for answer in answers)


def test_a_looped_stream_is_frozen(detector: FaceDetector) -> None:
    rng = np.random.default_rng(0)
    drawn = next(c for c in adversarial.adversarial_clips(cut_out(detector)) if c.name == "photo")
    loop = [
        np.clip(s.image + rng.normal(0, 2, s.image.shape), 0, 255).astype(np.uint8)
        for s in list(drawn.play())[:12]
    ]
    layer = MotionLiveness()
    for i in range(30):
        image = loop[i % 12]
        face = detector.detect(image)[0]
        layer.observe(crop_frame(image, face, i / FPS))
    assert layer.result(2.0, near_threshold=False).reason == "frozen"


@pytest.mark.shared
@pytest.mark.parametrize("layer", ["motion", "screen"])
def test_living_people_pass(detector: FaceDetector, shared: Path, layer: str) -> None:
    for clip in (
        shared / "clips" / "intel_head-pose-face-detection-male.gif",
        shared / "clips" / "terminal_distance" / "bird.mkv",
    ):
        assert play_clip(clip, detector, [LAYERS[layer]], FPS) == ("passed", "")
