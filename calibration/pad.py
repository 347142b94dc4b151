"""Presentation attack detection (PAD) of the liveness layers on clips, in terms of ISO/IEC 30107-3.

A clip is one presentation. It passes if all layers passed at any moment, since the door would have
opened then. It is refused if a layer failed. Otherwise it is a non-response. This is not a
certification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibration.metrics import clopper_pearson_upper
from edge.camera.replay import ReplayCamera, native_fps
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
from edge.system.markdown import format_table

_NO_EMBEDDING = np.zeros(0, np.float32)  # a clip shows one person, who is not identified
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
    """Outcomes of the clips of one species: bona fide, or a kind of attack."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    refused_by: Counter[str] = field(default_factory=Counter)  # layer

    @property
    def clips(self) -> int:
        return self.outcomes.total()

    @property
    def wrong(self) -> int:
        """Number of attacks that passed, or of bona fide presentations that were refused."""
        return self.outcomes[_REFUSED if self.name == BONA_FIDE else _PASSED]

    def as_dict(self) -> dict[str, object]:
        """Return all figures for JSON."""
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


def find_clips(folder: Path) -> list[tuple[str, Path]]:
    """Return species and clip, bona fide first; raises ConfigError for another layout."""
    living = [(BONA_FIDE, clip) for clip in _clips(folder / BONA_FIDE)]
    attacks = [
        (folder.name, clip)
        for folder in _clips(folder / ATTACK)
        if folder.is_dir()
        for clip in _clips(folder)
    ]
    if not living and not attacks:
        raise ConfigError(
            f"{folder}: expected {BONA_FIDE}/<clip> and {ATTACK}/<species>/<clip>, found neither"
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
    """Play a clip; return its outcome and the layer that refused it. Raises CameraError.

    The largest face of each frame counts.
    """
    fps = native_fps(clip) or default_fps
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


_INTRODUCTION = """\
# Presentation attack detection, measured

Measured by `mfsa-pad` with the layers {layers}. **Not a certification**: these clips, this camera,
these attacks. An attack counts as passed if all layers passed at any moment of its clip. Rates are
of the clips that responded; the standard divides APCER by all presentations, which is never more.
There is no average over species: an attacker uses the weakest one.

"""
_COLUMNS = (
    "species", "figure", "wrong of those that responded", "rate", "at most (95 %)", "no response",
    "no face", "refused by",
)  # fmt: skip


def format_report(species: Sequence[SpeciesResult], layers: Sequence[str]) -> str:
    """Return the figures of all species as a Markdown page."""
    head = _INTRODUCTION.format(layers=", ".join(layers))
    return head + format_table(_COLUMNS, map(_row, species))


def _row(kind: SpeciesResult) -> list[str]:
    figures = kind.as_dict()
    plumbing = " (tests the plumbing, no detection rate)"
    refused = ", ".join(f"{layer} {count}" for layer, count in kind.refused_by.items())
    return [
        f"{kind.name}{plumbing if figures['tests_the_plumbing_only'] else ''}",
        str(figures["figure"]),
        f"{kind.wrong} of {figures['responded']}",
        "-" if figures["rate"] is None else f"{figures['rate']:.1%}",
        f"{figures['at_most_95']:.1%}",
        f"{figures['no_response']} of {kind.clips}",
        str(figures["no_face"]),
        refused or "-",
    ]
