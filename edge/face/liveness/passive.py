"""Layer `passive`: a network that classifies single chips as living or not. None is shipped.

Any ONNX network of this form can be used: input `chips` (N,3,112,112) float32 as made by
`edge.chip.to_input`, output `living` (N,) or (N,1), the probability of a living face. Public
networks for colour cameras were at chance level on attacks that they were not trained on: measure
yours with `mfsa-pad` on your camera, and take the threshold from there.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from edge.access.reasons import Reason
from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError
from edge.face.liveness import LivenessFrame, LivenessResult, LivenessState

OUTPUT = "living"
_MIN_FRAMES = 3


class PassiveLiveness:
    """Probability of a living face for one track, by an engine that all tracks share.

    Passes if the mean over the last `seconds` reaches the threshold, 0 to 1.
    """

    name = "passive"

    def __init__(self, engine: Engine, threshold: float, *, seconds: float = 1.0) -> None:
        self._engine, self._threshold, self._seconds = engine, threshold, seconds
        self._found: deque[tuple[float, float]] = deque()  # time, probability

    def observe(self, frame: LivenessFrame) -> None:
        """Add one frame; raises EngineError if the output is not one probability."""
        outputs = self._engine.run(to_input(frame.chip[None]))
        living = outputs.get(OUTPUT, np.empty(0)).ravel()
        if living.size != 1 or not 0 <= living[0] <= 1:
            raise EngineError(
                f"liveness network: expected one probability in an output {OUTPUT!r}, found "
                + ", ".join(f"{name} {out.ravel()[:3].tolist()}" for name, out in outputs.items())
            )
        self._found.append((frame.at, float(living[0])))
        while frame.at - self._found[0][0] > self._seconds:
            self._found.popleft()

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        valid = [
            (seen_at, living) for seen_at, living in self._found if at - seen_at <= self._seconds
        ]
        if len(valid) < _MIN_FRAMES:
            return LivenessResult(LivenessState.WAITING, Reason.CHECKING)
        since = valid[0][0]
        if np.mean([living for _, living in valid]) < self._threshold:
            return LivenessResult(LivenessState.FAILED, Reason.NOT_LIVING, since)
        return LivenessResult(LivenessState.PASSED, since=since)
