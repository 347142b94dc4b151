"""Guides a person through the poses of an enrollment. Left and right are the person's own. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge.codes import Code
from edge.errors import PhotoError
from edge.face import quality
from edge.gallery.enrollment.refusals import RefusalReason
from edge.values import Pose

_APART_S = 0.7  # between two captured poses, so that they are different pictures


class EnrollmentHint(Code):
    """Instruction for a person at the camera, other than those of `edge.face.quality`."""

    LOOK_STRAIGHT = "look-straight", "look straight at the camera"
    TURN_LEFT = "turn-left", "turn your head a little to your left"
    TURN_RIGHT = "turn-right", "turn your head a little to your right"
    LITTLE_LEFT = "little-left", "turn a little to your left"
    LITTLE_RIGHT = "little-right", "turn a little to your right"
    LIFT_CHIN = "lift-chin", "lift your chin a little"
    LOWER_CHIN = "lower-chin", "lower your chin a little"
    LITTLE_LESS = "little-less", "a little less"
    LOOK_AT_CAMERA = "look-at-camera", "look at the camera"
    COME_CLOSER = "come-closer", "come closer"
    STEP_IN_FRONT = "step-in-front", "step in front of the camera"
    ONE_PERSON = "one-person", "one person at a time, please"
    TAKE_MASK_OFF = "take-mask-off", "take the mask off"
    FINISHED = "finished", "the capture is finished"


@dataclass(frozen=True, slots=True)
class PoseTarget:
    """Requested pose with its limits in degrees: yaw to the person's left, pitch down."""

    name: str
    hint: str
    yaw: tuple[float, float]
    pitch: tuple[float, float]
    required: bool = False  # if False, the pose is skipped when its time is up


COME_CLOSER = EnrollmentHint.COME_CLOSER.sentence
_FAR_FROM = 0.9  # share of the demanded size below which a near face counts as far (hysteresis)
_STEADY_S = 0.4  # time that another hint must last before it is shown

_STRAIGHT = EnrollmentHint.LOOK_STRAIGHT.sentence
# From the straight pose, as its camera sees it, to where quality's head pose begins to refuse.
POSES = (
    PoseTarget("straight", _STRAIGHT, (-10, 10), (-15, 15), required=True),
    PoseTarget("left", EnrollmentHint.TURN_LEFT.sentence, (10, 26), (-12, 12)),
    PoseTarget("right", EnrollmentHint.TURN_RIGHT.sentence, (-26, -10), (-12, 12)),
    PoseTarget("up", EnrollmentHint.LIFT_CHIN.sentence, (-10, 10), (-22, -7)),
    PoseTarget("down", EnrollmentHint.LOWER_CHIN.sentence, (-10, 10), (7, 22)),
    PoseTarget("straight again", _STRAIGHT, (-8, 8), (-8, 8), required=True),
)
FRONTAL_ONLY = tuple(
    PoseTarget(name, _STRAIGHT, (-10, 10), (-15, 15), required=True)
    for name in ("first", "second", "third")
)

_WORDS = {
    RefusalReason.NO_FACE: EnrollmentHint.STEP_IN_FRONT.sentence,
    RefusalReason.SEVERAL_FACES: EnrollmentHint.ONE_PERSON.sentence,
    RefusalReason.TOO_SMALL: COME_CLOSER,
    RefusalReason.MASK_WORN: EnrollmentHint.TAKE_MASK_OFF.sentence,
}


def hint_for_error(error: PhotoError) -> str:
    """Return the hint for a person at the camera whose picture was refused."""
    return _WORDS.get(RefusalReason(error.reason)) or quality.prompt_for(error.reason)


class SteadyHint:
    """Filter that shows another hint only after it has lasted, so that hints do not flip."""

    def __init__(self, steady_s: float = _STEADY_S) -> None:
        self._steady_s = steady_s
        self._shown = self._next = ""
        self._since = 0.0

    def update(self, words: str, at: float) -> str:
        """Take the hint of a frame; return the one to show."""
        if words != self._next:
            self._next, self._since = words, at
        if not self._shown or at - self._since >= self._steady_s:
            self._shown = words
        return self._shown


_CODES: dict[str, str] = {words: code.value for code, words in quality.MESSAGES.values()} | {
    hint.sentence: hint.value for hint in EnrollmentHint
}


def hint_code(words: str) -> str:
    """Return the code of the sentence of a hint; of a flaw of the picture, that of the flaw."""
    return _CODES[words]


class PoseGuide:
    """Sequence of requested poses, each with a time limit.

    Poses are measured from the person's own straight pose, because cameras hang high and low.
    """

    def __init__(
        self,
        targets: tuple[PoseTarget, ...] = POSES,
        *,
        began_at: float,
        pose_s: float = 10.0,
        total_s: float = 60.0,
    ) -> None:
        self._targets, self._pose_s = targets, pose_s
        self._ends_at = began_at + total_s
        self._asked_at = began_at
        self._next = 0
        self._straight = Pose(0, 0, 0)
        self._kept_at = began_at - _APART_S
        self._is_near = False
        self.captured: list[str] = []
        self.missed: list[str] = []

    @property
    def target(self) -> PoseTarget | None:
        """Requested pose; None when all are done."""
        return None if self.is_done else self._targets[self._next]

    @property
    def is_done(self) -> bool:
        return self._next >= len(self._targets)

    @property
    def total(self) -> int:
        return len(self._targets)

    def hint(self, pose: Pose, at: float) -> str | None:
        """Return what the person must still do; None if the pose may be captured now."""
        target = self.target
        if target is None:
            return EnrollmentHint.FINISHED.sentence
        if at - self._kept_at < _APART_S:
            return target.hint
        yaw, pitch = pose.yaw - self._straight.yaw, pose.pitch - self._straight.pitch
        if yaw < target.yaw[0]:
            return target.hint if target.yaw[0] > 0 else EnrollmentHint.LITTLE_LEFT.sentence
        if yaw > target.yaw[1]:
            return target.hint if target.yaw[1] < 0 else EnrollmentHint.LITTLE_RIGHT.sentence
        if pitch < target.pitch[0]:
            return EnrollmentHint.LOWER_CHIN.sentence
        if pitch > target.pitch[1]:
            return EnrollmentHint.LIFT_CHIN.sentence
        return None

    def is_near(self, size: float) -> bool:
        """Return True if the face is large enough, by its share of the demanded size."""
        self._is_near = size >= (_FAR_FROM if self._is_near else 1.0)
        return self._is_near

    def hint_for_large_angle(self) -> str:
        """Return the hint for a pose that is held, but turned too far for the quality gate."""
        first, later = EnrollmentHint.LOOK_AT_CAMERA, EnrollmentHint.LITTLE_LESS
        return (first if self._next == 0 else later).sentence

    def accept(self, pose: Pose, at: float) -> None:
        """Mark the pose as captured and request the next one."""
        if self._next == 0:
            self._straight = pose
        self.captured.append(self._targets[self._next].name)
        self._kept_at = at
        self._advance(at)

    def expire(self, at: float) -> None:
        """Skip a pose whose time is up; raises PhotoError no-pose if it is required."""
        target = self.target
        if target is None:
            return
        if at >= self._ends_at or at - self._asked_at >= self._pose_s:
            if target.required or at >= self._ends_at:
                raise PhotoError(
                    RefusalReason.NO_POSE,
                    f"{target.hint}: not captured sharp and well lit in {self._pose_s:.0f} s, only "
                    f"{len(self.captured)} of {self.total} poses were; improve the light",
                )
            self.missed.append(target.name)
            self._advance(at)

    def _advance(self, at: float) -> None:
        self._next += 1
        self._asked_at = at
