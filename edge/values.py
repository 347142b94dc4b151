"""The values that flow through a terminal: Frame -> Face -> Probe -> Match -> Decision -> Grant -> DoorEvent.

All are frozen. Those that hold arrays compare by identity. numpy is named for type checkers only, so that the door
process can import this module without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal

from edge.codes import Code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.access.reasons import Reason

NOT_RECORDED = 0  # in place of a record's number, where `record.on_write_failure: open` lets people in without one
FRAME_AGE_MAX_S = 1.0  # older frames are not recognised, and the door refuses grants from them
Zone = tuple[float, float, float, float]  # left, top, right, bottom as parts of a picture
Precision = Literal[
    "fp32", "fp16", "int8"
]  # of the numbers inside a network; inputs and outputs are float32


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of the camera."""

    image: NDArray[np.uint8]  # (H,W,3) BGR
    at: float  # monotonic seconds of its capture
    number: int  # counts up from 0 in one run of the camera


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face, in pixels of its frame."""

    box_xyxy: NDArray[np.float32]  # (4,)
    landmarks_xy: NDArray[np.float32]  # (5,2): eyes, nose tip, mouth corners, left to right as seen
    score: float

    @property
    def width_px(self) -> float:
        return float(self.box_xyxy[2] - self.box_xyxy[0])


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What the embedder says of one chip."""

    embedding: NDArray[np.float32]  # (D,) unit norm
    attention: NDArray[np.float32]  # (3,14,14) in 0..1: unmasked face, mask, background
    mask_worn: float  # probability


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees. Yaw is positive where the person looks to the right of the picture, pitch where they look down."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Each component from 0, useless, to 100."""

    inter_eye_distance: float
    head_pose: float
    sharpness: float
    under_exposure_prevention: float
    over_exposure_prevention: float
    face_inside_image: float  # in the standard four crops, one a side

    @property
    def weight(self) -> float:
        """Of a vote, in 0..1: what its worst component allows."""
        return float(min(astuple(self))) / 100


@dataclass(frozen=True, slots=True)
class Visibility:
    """What the attention maps say is not hidden: 0 to 100. The last is ours and not the standard's."""

    eyes_visible: float
    mouth_occlusion_prevention: float
    attention_on_face: float  # share of the network's look at neither mask nor background


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest subject of the gallery; scores are cosines."""

    subject: str
    score: float
    runner_up: float  # the best score of any OTHER subject, -1 where there is none


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which on two embeddings count as the same person."""

    unmasked: float
    masked: float


class Verdict(Code):
    """Verdict on one face in one frame."""

    GRANT = "grant", "access granted; the door is asked to open"
    PENDING = "pending", "no decision yet; more frames are needed"
    UNKNOWN = "unknown", "no subject of the gallery matches"
    REFUSED = "refused", "a gate or rule refuses the face"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with everything that led to it."""

    verdict: Verdict
    reason: Reason
    match: Match | None
    threshold: float  # the one that applied, after the mask state
    mask_worn: float
    votes: int
    frame_at: float  # monotonic seconds of the newest frame that counts


class LivenessState(str, Enum):
    """Of one layer of liveness."""

    PASSED = "passed"
    WAITING = "waiting"  # not known yet, or the person must do something
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LivenessResult:
    """Of one layer of liveness for one track, or of all of them together."""

    state: LivenessState
    reason: Reason | None = None  # None only if passed
    since: float = -math.inf  # votes before this moment do not count


@dataclass(frozen=True, slots=True)
class FaceResult:
    """One face in one frame, as far as it went through the pipeline."""

    face: Face
    track: int  # the same number for the same person from frame to frame; counts up
    chip: NDArray[np.uint8] | None  # None where a gate refused it before alignment
    probe: Probe | None  # None where it was not embedded
    decision: Decision
    quality: Quality | None = None
    visibility: Visibility | None = None
    liveness: Mapping[str, LivenessResult] = field(default_factory=dict)  # by layer; empty: no PAD
    by_previous_model: bool = False  # said by the model before, in a changeover

    @property
    def is_conclusive(self) -> bool:
        """Whether the frame said anything of this face: it was embedded, or a gate refused it."""
        return self.probe is not None or self.decision.verdict is Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Grant:
    """What the recogniser asks of the door process."""

    id: str  # unique; a repeated one is refused
    subject: str
    record_id: int  # of the decision in the recogniser's record, or NOT_RECORDED
    frame_at: float  # monotonic seconds of the newest voting frame
    extended: bool = False  # the subject needs more time


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """What the relay did and why."""

    event: str  # started, gap, granted, unlocked, relocked, refused, failed, stopped, alarm, fire, contact-active, a command ...
    reason: str
    at: float  # monotonic seconds
    subject: str | None = None
    grant_id: str | None = None
    record_id: int | None = None  # of the decision in the recogniser's record
    operator: str | None = None  # account that asked
    note: str | None = None  # and why, in their words
