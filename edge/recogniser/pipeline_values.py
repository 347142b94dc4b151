"""Values of the pipeline: its settings, the gallery that it searches, a face of one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.access.policy import DecisionRules
from edge.access.reasons import Reason
from edge.face.liveness import LivenessFrame, LivenessLayer
from edge.face.track import Track
from edge.subject import SubjectRecord
from edge.values import Face, Match, Probe, Quality, Zone

SubjectLookup = Callable[[str], SubjectRecord | None]  # finds a subject's record


class Searchable(Protocol):
    """A gallery, or an index of templates alone."""

    @property
    def templates(self) -> int: ...

    @property
    def refusal(self) -> Reason | None: ...  # why all people are refused; None: they are not

    def search_all(self, embeddings: NDArray[np.float32]) -> list[Match | None]: ...

    def compare(self, embedding: NDArray[np.float32], subject: str) -> Match | None: ...


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """Limits on the faces that are examined, and the interval of full-frame searches."""

    min_face_px: int  # minimum width of the box
    zone: Zone  # part of the frame that must contain the centre of the box
    nearest_only: bool  # examine only the widest face in the zone: for lanes with a queue
    max_faces: int  # maximum of faces that are embedded per frame
    start_score: float  # score of the detector below which a face starts no track
    search_interval_s: float  # seconds between full-frame searches; 0: every frame


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """Settings of a pipeline; all except `same_person` can change while it runs."""

    rules: DecisionRules
    face_filter: FaceFilter
    max_unknown_per_minute: int  # beyond it all people are refused for a minute
    layers: Sequence[Callable[[], LivenessLayer]]  # factories; each track has its own layers
    same_person: float  # cosine below which two embeddings of a track are of two people


@dataclass(slots=True, eq=False)
class FaceInFrame:
    """A face of the present frame. Mutable: each step of the pipeline fills in its part."""

    track: Track
    face: Face
    refusal: Reason | None  # set by the step that refuses the face
    crop: LivenessFrame | None = None  # chip and crop of the frame; set in step 4
    quality: Quality | None = None  # set in step 4
    probe: Probe | None = None  # set in step 5
    others: int = 0  # other people in the zone; set in step 7

    @property
    def chip(self) -> NDArray[np.uint8] | None:
        """Aligned face (112,112,3) uint8 BGR."""
        return self.crop.chip if self.crop is not None else None
