"""Values of the data path: Frame -> Face -> Probe -> Match -> Decision -> Grant -> DoorEvent.

All are frozen. Values with arrays compare by identity. numpy is imported for type checkers only:
the door process imports this module without it.
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

NOT_RECORDED = 0  # number of a decision without a record, see `record.on_write_failure`
FRAME_AGE_MAX_S = 1.0  # older frames are not recognised, and the door refuses grants from them
Zone = tuple[float, float, float, float]  # left, top, right, bottom as parts of a frame, 0..1
# Precision inside a network; inputs and outputs are float32.
Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Frame of the camera."""

    image: NDArray[np.uint8]  # (H,W,3) BGR
    at: float  # monotonic seconds of its exposure
    number: int  # counts from 0 in one run of the camera


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """Detected face, in pixels of its frame."""

    box_xyxy: NDArray[np.float32]  # (4,)
    landmarks_xy: NDArray[np.float32]  # (5,2): eyes, nose tip, mouth corners, left to right as seen
    score: float

    @property
    def width_px(self) -> float:
        return float(self.box_xyxy[2] - self.box_xyxy[0])


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Output of the embedder for one chip."""

    embedding: NDArray[np.float32]  # (D,) unit norm
    attention: NDArray[np.float32]  # (3,14,14), 0..1: unmasked face, mask, background
    mask_worn: float  # probability 0..1
    expected_similarity: float  # 0..1, expected cosine to the embedding of the clear face


@dataclass(frozen=True, slots=True)
class Pose:
    """Pose of a head in degrees.

    Yaw is positive if the person looks to the right of the image, pitch if they look down.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of a face by component: 0 (unusable) to 100."""

    inter_eye_distance: float
    head_pose: float
    sharpness: float
    under_exposure_prevention: float
    over_exposure_prevention: float
    face_inside_image: float  # the standard has four components, one per side

    @property
    def weight(self) -> float:
        """Weight of a vote, 0..1: the worst component."""
        return float(min(astuple(self))) / 100


@dataclass(frozen=True, slots=True)
class Visibility:
    """Visibility of a face by the outputs of the embedder: 0 to 100.

    ISO/IEC 29794-5 has no counterpart of the last two. `recognisability` is the expected similarity
    of the probe, an uncertainty that the network learns as in A. Kendall and Y. Gal, "What
    Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?", NeurIPS 2017.
    """

    eyes_visible: float
    mouth_occlusion_prevention: float
    attention_on_face: float  # share of the attention on neither mask nor background
    recognisability: float  # expected similarity to the embedding of the clear face


@dataclass(frozen=True, slots=True)
class Match:
    """Nearest subject of the gallery. Scores are cosines."""

    subject: str
    score: float
    runner_up: float  # best score of another subject, -1 without one
    is_claimed: bool = False  # compared with this subject alone, whose card or PIN was presented


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores from which two embeddings count as the same person."""

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
    """Verdict on one face, with its evidence."""

    verdict: Verdict
    reason: Reason
    match: Match | None
    threshold: float  # that applied, by the mask state
    mask_worn: float
    votes: int  # frames that agree
    frame_at: float  # monotonic seconds of the newest voting frame
    progress: float = 0.0  # share of the votes that a grant needs, 0..1; for display


class LivenessState(str, Enum):
    """State of a liveness layer."""

    PASSED = "passed"
    WAITING = "waiting"  # not decided yet, or a response of the person is missing
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LivenessResult:
    """Result of one liveness layer for one track, or of all layers together."""

    state: LivenessState
    reason: Reason | None = None  # None only if passed
    since: float = -math.inf  # earlier votes do not count


@dataclass(frozen=True, slots=True)
class FaceResult:
    """Result of one face in one frame; fields of steps that it did not reach are None."""

    face: Face
    track: int  # number of the person's track over frames
    chip: NDArray[np.uint8] | None  # (112,112,3) BGR; None if refused before alignment
    probe: Probe | None  # None if it was not embedded
    decision: Decision
    quality: Quality | None = None
    visibility: Visibility | None = None
    liveness: Mapping[str, LivenessResult] = field(default_factory=dict)  # by layer; empty: no PAD
    by_previous_model: bool = False  # during a model migration
    others_in_zone: int = 0  # other people in the zone, near enough to be recognised

    @property
    def is_conclusive(self) -> bool:
        """True if the frame led to a decision: the face was embedded, or refused by a gate."""
        return self.probe is not None or self.decision.verdict is Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Grant:
    """Request of the recogniser to unlock the door once."""

    id: str  # unique; a repeated one is refused
    subject: str
    record_id: int  # number of the decision in the audit log, or NOT_RECORDED
    frame_at: float  # monotonic seconds of the newest voting frame
    lane: str  # lane at which the person is
    masked: bool = False  # a mask is worn, or it is uncertain
    claimed: bool = False  # by a 1:1 comparison; counts only with a card or PIN of the subject
    extended: bool = False  # a longer pulse; set by the door process, not part of the request


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """Event of the door with its cause."""

    event: str  # code of edge/door/events.py
    reason: str
    at: float  # monotonic seconds
    subject: str | None = None
    grant_id: str | None = None
    record_id: int | None = None  # number of the decision
    operator: str | None = None  # account of the operator
    user: str | None = None  # user of the console that sent a command by this account
    note: str | None = None  # reason in the operator's words
