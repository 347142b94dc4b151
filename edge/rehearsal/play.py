"""Play clips through a terminal's pipeline in memory and collect the decisions.

Nothing is recorded and no door process is used. A frame's time is its number divided by the
clip's pace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

import numpy as np
from tqdm import tqdm

from edge.access.policy import mask_state
from edge.config import TerminalConfig
from edge.config.policy import NoLivenessConfig
from edge.gallery.enrollment.consistency import Enrollee, check_same_person
from edge.gallery.enrollment.photos import QualityRequirements, take_sample
from edge.gallery.search import Index
from edge.recogniser.build import build_duplicate_thresholds, build_rules, open_pipeline
from edge.recogniser.networks import TerminalNetworks
from edge.recogniser.pipeline import Pipeline
from edge.recogniser.pipeline_values import Searchable
from edge.rehearsal.clips import Clip, ClipFrame, Image, VisiblePerson
from edge.rehearsal.door_script import RehearsedDoor
from edge.rehearsal.results import ClipPicture, FaceDecision, RehearsalResult
from edge.values import FaceResult, Frame, Verdict


def rehearse(
    clips: Iterable[tuple[Clip, Searchable]], config: TerminalConfig, networks: TerminalNetworks
) -> list[RehearsalResult]:
    """Play each clip against its gallery with a new pipeline.

    Raises CameraError, ConfigError, EngineError.
    """
    liveness = not isinstance(config.liveness, NoLivenessConfig)
    return [
        play(clip, open_pipeline(config, networks, gallery), liveness=liveness)
        for clip, gallery in clips
    ]


def enroll_in_memory(
    photos: Mapping[str, Sequence[tuple[str, Image]]],
    config: TerminalConfig,
    networks: TerminalNetworks,
) -> Index:
    """Enroll people in memory from named photos; raises the errors of enrollment."""
    gallery = Index()
    rules = build_rules(config.policy, networks.calibration)
    requirements = QualityRequirements(config.enrollment.quality, config.detector.min_face_px)
    for number, (person, pictures) in enumerate(photos.items()):
        taken = [
            take_sample(image, networks.detector, networks.embedder, requirements, name)
            for name, image in pictures
        ]
        found = np.stack([one.probe.embedding for one in taken])
        thresholds = build_duplicate_thresholds(rules, networks.calibration, gallery.templates)
        enrollee = Enrollee(person, [name for name, _ in pictures], lambda other: False)
        checked = check_same_person(enrollee, found, gallery, thresholds, requirements.level)
        gallery.add(number, person, found[list(checked.kept)])
    return gallery


def play(clip: Clip, pipeline: Pipeline, *, liveness: bool) -> RehearsalResult:
    """Play one clip through a new pipeline and its door; raises CameraError, EngineError."""
    door = None if clip.script is None else RehearsedDoor(clip.script, datetime.now(timezone.utc))
    moments: list[FaceDecision] = []
    shown = _PictureSelection()
    frames = 0
    for number, shot in enumerate(
        tqdm(
            clip.play(), desc=clip.name, total=clip.frames, unit="frame", leave=False, disable=None
        )
    ):
        at_s = number / clip.fps
        results = pipeline.recognise(Frame(shot.image, at_s, number))
        if door is not None:
            door.update(at_s)
            _request_grants(door, pipeline, results, at_s)
        seen = tuple(_face_decision(result, shot, number, at_s) for result in results)
        moments += seen
        shown.update(ClipPicture(shot.image, at_s, seen))
        frames = number + 1
    if door is not None:
        door.update(math.inf)
    requests = () if door is None else tuple(door.results)
    expected = clip.expected_of(liveness=liveness)
    return RehearsalResult(clip, expected, frames, tuple(moments), shown.pictures, requests)


def _request_grants(
    door: RehearsedDoor, pipeline: Pipeline, results: Iterable[FaceResult], at_s: float
) -> None:
    """Request the door to open for granted faces, as the recogniser does."""
    for result in results:
        decision, match = result.decision, result.decision.match
        if decision.verdict is not Verdict.GRANT or match is None:
            continue
        masked = mask_state(decision.mask_worn) != "unmasked"
        retry_s = door.present_face(at_s, match.subject, masked=masked)
        if retry_s is not None:
            pipeline.revoke_grant(result.track, match.subject, retry_s)


class _PictureSelection:
    """Selects three pictures of a clip of any length."""

    def __init__(self) -> None:
        self._first: ClipPicture | None = None
        self._decisive: ClipPicture | None = None
        self._last: ClipPicture | None = None
        self._interest = (
            False,
            -1.0,
            0.0,
        )  # True if a face was granted, highest score, width of the largest face

    def update(self, picture: ClipPicture) -> None:
        """Keep the frame of the first grant, else the highest score, else the nearest face."""
        if self._last is None or picture.decisions or not self._last.decisions:
            self._last = picture
        if self._first is None or (picture.decisions and not self._first.decisions):
            self._first = picture
        scores = [m.score for m in picture.decisions if m.score is not None]
        widths = [m.box_xyxy[2] - m.box_xyxy[0] for m in picture.decisions]
        granted = any(m.verdict == Verdict.GRANT for m in picture.decisions)
        interest = (granted, max(scores, default=-1.0), max(widths, default=0.0))
        if self._decisive is None or (interest > self._interest and not self._interest[0]):
            self._decisive, self._interest = picture, interest

    @property
    def pictures(self) -> dict[str, ClipPicture]:
        """Pictures by the reason of their selection; empty for a clip without frames."""
        granted, score, _ = self._interest
        best = "grant" if granted else "highest score" if score > -1 else "nearest face"
        kept = {"first face": self._first, best: self._decisive, "last face": self._last}
        return {words: picture for words, picture in kept.items() if picture is not None}


def _face_decision(result: FaceResult, shot: ClipFrame, number: int, at_s: float) -> FaceDecision:
    decision, match = result.decision, result.decision.match
    box = tuple(round(float(v), 1) for v in result.face.box_xyxy)
    embedded = result.probe is not None
    return FaceDecision(
        at_s=round(at_s, 4),
        frame=number,
        track=result.track,
        verdict=decision.verdict.value,
        reason=decision.reason.value,
        usable=embedded or decision.verdict is not Verdict.REFUSED,
        embedded=embedded,
        subject=match.subject if match and decision.verdict is not Verdict.UNKNOWN else None,
        score=round(match.score, 4) if match else None,
        threshold=round(decision.threshold, 4) if embedded else None,
        mask_worn=round(decision.mask_worn, 3) if embedded else None,
        votes=decision.votes,
        liveness={name: answer.state.value for name, answer in result.liveness.items()},
        weight=round(result.quality.weight, 3) if result.quality else None,
        box_xyxy=box,
        person=_nearest_person(box, shot.people),
    )


def _nearest_person(box: Sequence[float], present: Sequence[VisiblePerson] | None) -> str | None:
    """Return the person whose face was drawn nearest to the centre of a box."""
    if not present:
        return None
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return min(present, key=lambda p: (p.centre_xy[0] - x) ** 2 + (p.centre_xy[1] - y) ** 2).person
