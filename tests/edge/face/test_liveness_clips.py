"""Layers on drawn attacks and recordings of living people; no detection rate."""

from __future__ import annotations

from collections.abc import Iterable
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


def play(
    detector: FaceDetector, clip: str, layers: Iterable[str], seconds: float
) -> dict[str, list[LivenessResult]]:
    """Return results by layer after each frame of a drawn clip, played forward and backward."""
    drawn = next(c for c in adversarial.adversarial_clips(cut_out(detector)) if c.name == clip)
    frames = [shot.image for shot in drawn.play()]
    there_and_back = [*frames, *frames[-2:0:-1]]
    rng = np.random.default_rng(0)
    made = {layer: LAYERS[layer]() for layer in layers}
    answers: dict[str, list[LivenessResult]] = {layer: [] for layer in made}
    for i in range(round(seconds * FPS)):
        image = there_and_back[i % len(there_and_back)]
        if clip != "frozen-stream":  # the noise of a camera never repeats
            image = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        face = max(detector.detect(image), key=lambda found: found.width_px)
        crop = crop_frame(image, face, i / FPS)
        for name, layer in made.items():
            layer.observe(crop)
            answers[name].append(layer.result(i / FPS, near_threshold=True))
    return answers


@pytest.mark.parametrize(
    ("clip", "reasons"),
    [
        ("frozen-stream", {"motion": "frozen"}),
        ("photo", {"motion": "no-motion"}),
        ("screen", {"motion": "no-motion", "screen": "screen"}),
    ],
)
def test_drawn_attacks_are_refused(
    detector: FaceDetector, clip: str, reasons: dict[str, str]
) -> None:
    for layer, answers in play(detector, clip, reasons, 5.0).items():
        assert (answers[-1].state, answers[-1].reason) == (LivenessState.FAILED, reasons[layer])
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
