"""`mfsa-pad`: liveness layers on recorded clips, by the terms of ISO/IEC 30107-3. No certificate: figures of your clips, no more.

A clip is one presentation. It passes where all layers agreed at any moment, since that moment would have opened the door; it
is refused where a layer failed; and it is a non-response where neither came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibration.metrics import clopper_pearson_upper
from edge.camera.replay import ReplayCamera, own_pace
from edge.errors import ConfigError
from edge.face.detect import FaceDetector
from edge.face.liveness import (
    LivenessChecker,
    LivenessLayer,
    LivenessState,
    crop_frame,
    join_results,
)
from edge.face.liveness.challenge import ChallengeLiveness
from edge.face.liveness.motion import MotionLiveness
from edge.face.liveness.screen import ScreenLiveness
from edge.system.leftovers import is_leftover

_NO_EMBEDDING = np.zeros(0, np.float32)  # a clip shows one person: nobody is identified
LAYERS: dict[str, Callable[[], LivenessLayer]] = {
    "motion": MotionLiveness,
    "screen": ScreenLiveness,
    "challenge": ChallengeLiveness,
}
BONA_FIDE, ATTACK = "bona_fide", "attack"
SYNTHETIC = "synthetic"
_PASSED, _REFUSED, _NONE = "passed", "refused", "no-response"
NO_FACE = "no-face"  # counts as no response


@dataclass(slots=True)
class SpeciesResult:
    """What came of the clips of one kind."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    refused_by: Counter[str] = field(default_factory=Counter)  # layer

    @property
    def clips(self) -> int:
        return self.outcomes.total()

    @property
    def wrong(self) -> int:
        """Attacks that passed, or living people who were refused."""
        return self.outcomes[_REFUSED if self.name == BONA_FIDE else _PASSED]

    def as_dict(self) -> dict[str, object]:
        responded = self.clips - self.outcomes[_NONE] - self.outcomes[NO_FACE]
        return {
            "species": self.name,
            "figure": "BPCER" if self.name == BONA_FIDE else "APCER",
            "clips": self.clips,
            "wrong": self.wrong,
            "responded": responded,
            "rate": self.wrong / responded if responded else None,
            "at_most_95": clopper_pearson_upper(self.wrong, responded),
            "no_response": self.outcomes[_NONE] + self.outcomes[NO_FACE],
            "no_face": self.outcomes[NO_FACE],
            "refused_by": dict(self.refused_by),
            "tests_the_plumbing_only": self.name.startswith(SYNTHETIC),
        }


def find_clips(tree: Path) -> list[tuple[str, Path]]:
    """Species and clip, living people first; raises ConfigError for a tree of another form."""
    living = [(BONA_FIDE, clip) for clip in _clips(tree / BONA_FIDE)]
    attacks = [
        (folder.name, clip)
        for folder in _clips(tree / ATTACK)
        if folder.is_dir()
        for clip in _clips(folder)
    ]
    if not living and not attacks:
        raise ConfigError(
            f"{tree}: expected {BONA_FIDE}/<clip> and {ATTACK}/<species>/<clip>, found neither"
        )
    return living + attacks


def _clips(folder: Path) -> list[Path]:
    return (
        sorted(path for path in folder.iterdir() if not is_leftover(path.name))
        if folder.is_dir()
        else []
    )


def play_clip(
    clip: Path,
    detector: FaceDetector,
    layers: Sequence[Callable[[], LivenessLayer]],
    default_fps: float,
) -> tuple[str, str]:
    """What comes of one clip, and the layer that refused it; of each frame the largest face counts. Raises CameraError."""
    fps = own_pace(clip) or default_fps
    camera, liveness = ReplayCamera(clip, fps=fps, paced=False), LivenessChecker(layers)
    outcome, layer = NO_FACE, ""
    try:
        while (frame := camera.read()) is not None:
            faces = detector.detect(frame.image)
            if not faces:
                continue
            outcome = _NONE if outcome is NO_FACE else outcome
            face, at = max(faces, key=lambda found: found.width_px), frame.number / fps
            liveness.observe(1, crop_frame(frame.image, face, at), clip.name, _NO_EMBEDDING)
            answers = liveness.results(1, at, near_threshold=True)
            state = join_results(answers).state
            if state is LivenessState.PASSED:
                return _PASSED, ""
            if state is LivenessState.FAILED and outcome is _NONE:
                outcome = _REFUSED
                layer = next(
                    name for name, answer in answers.items() if answer.state is LivenessState.FAILED
                )
    finally:
        camera.close()
    return outcome, layer


def format_table(species: Sequence[SpeciesResult], layers: Sequence[str]) -> str:
    head = f"""\
# Presentation attack detection, measured

By `mfsa-pad`, layers {", ".join(layers)}. **No certificate**: these clips, this camera, these attacks. An attack counts as passed
if all layers agreed at any moment of its clip. Rates are of the clips that responded, as the column says; the standard divides
APCER by all presentations, which is never more. No average over species: the weakest one is what an attacker takes.

| species | figure | wrong of those that responded | rate | at most (95 %) | no response | no face | refused by |
|---|---|---|---|---|---|---|---|
"""
    lines = []
    for kind in species:
        told = kind.as_dict()
        rate = "-" if told["rate"] is None else f"{told['rate']:.1%}"
        name = (
            f"{kind.name} (tests the plumbing, no detection rate)"
            if told["tests_the_plumbing_only"]
            else kind.name
        )
        by = ", ".join(f"{layer} {count}" for layer, count in kind.refused_by.items()) or "-"
        lines.append(
            f"| {name} | {told['figure']} | {kind.wrong} of {told['responded']} | {rate} | {told['at_most_95']:.1%} | "
            f"{told['no_response']} of {kind.clips} | {told['no_face']} | {by} |"
        )
    return head + "\n".join(lines) + "\n"
