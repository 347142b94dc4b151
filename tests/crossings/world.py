"""Detector, embedder and liveness layer that see the people of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from edge.access.reasons import Reason
from edge.chip import REFERENCE_XY
from edge.face.boxes import iou
from edge.face.liveness import LivenessFrame, LivenessLayer
from edge.gallery.search import Index
from edge.recogniser.build import default_record
from edge.recogniser.lane_guard import LaneGuard
from edge.recogniser.pipeline import Pipeline
from edge.recogniser.pipeline_values import FaceFilter
from edge.values import (
    Face,
    FaceResult,
    Frame,
    LivenessResult,
    LivenessState,
    Probe,
    Thresholds,
    Zone,
)
from tests.builders import make_rules, make_settings
from tests.crossings.scene import (
    DIMENSION,
    ENROLLED,
    HEIGHT,
    WIDTH,
    Kind,
    Person,
    Scene,
    subject,
    visible,
)

_IDENTITIES = np.eye(DIMENSION, dtype=np.float32)
_TEXTURE = np.random.default_rng(0).integers(70, 170, (HEIGHT, WIDTH, 1)).repeat(3, axis=2)
_BACKGROUND = _TEXTURE.astype(np.uint8)
_STEP = 8  # grey levels between the codes of two persons
_CODED = [(_TEXTURE + _STEP * (n - 3) * np.array([1, 0, -1])).astype(np.uint8) for n in range(5)]
_OWN = 16  # first component of embeddings that only one camera sees
_EVIDENCE, _EVIDENCE_S = 3, 0.2  # frames of a living face, and their duration, that pass the layer


class World:
    """Player of a scene for a pipeline, frame by frame, with the findings of the detector."""

    def __init__(
        self,
        scene: Scene,
        *,
        nearest_only: bool,
        zone: Zone,
        has_liveness: bool = True,
        guard: LaneGuard | None = None,
    ) -> None:
        self.scene, self.at = scene, scene.begin
        self.detected: dict[int, tuple[float, Face]] = {}  # by person: when, and where
        self.evidence: dict[int, set[int]] = {}  # by layer: persons whose frames it counted
        self._rng = np.random.default_rng((*scene.seed, scene.camera))
        self._frame = 0
        self._faces: list[tuple[Person, Face]] = []
        layers: list[partial[LivenessLayer]] = [partial(TruthLayer, self)] if has_liveness else []
        templates = _IDENTITIES[:ENROLLED]
        self.pipeline = Pipeline(
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            Index.from_templates([subject(i) for i in range(ENROLLED)], templates),
            default_record,
            make_settings(
                make_rules(
                    Thresholds(0.5, 0.5),
                    min_votes=scene.votes,
                    min_votes_masked=scene.votes,
                    window_s=1.5,
                    cooldown_s=2.0,
                ),
                FaceFilter(60, zone, nearest_only, scene.budget, 0.7, scene.search_interval_s),
                layers=layers,
            ),
            None,
            guard,
        )

    def step(self) -> list[FaceResult]:
        """Show the next frame."""
        self._frame += 1
        self.at = self.scene.begin + self._frame / self.scene.fps
        shown = visible(self.scene, self.at)
        found = [(p, _face(x, w, p.is_turned(self.at))) for p, x, w in shown]
        self._faces = [one for one in found if self._rng.random() >= self.scene.miss]
        return self.pipeline.recognise(Frame(self._picture(found), self.at, self._frame))

    def person_of(self, face: Face) -> Person | None:
        """Return the person whose face this is in the present frame."""
        return next((person for person, own in self._faces if own is face), None)

    def search(self, image: np.ndarray, min_face_px: float, zone: Zone) -> list[Face]:
        """Return all faces that the detector does not miss."""
        return [self._found(person, face) for person, face in self._faces]

    def refine(self, image: np.ndarray, face: Face) -> Face:
        return face

    def find_at(self, image: np.ndarray, box_xyxy: np.ndarray) -> Face | None:
        """Return the face at a box, None without one."""
        near = [(iou(face.box_xyxy, box_xyxy), person.number) for person, face in self._faces]
        overlap, number = max(near, default=(0.0, -1))
        if overlap < 0.3:
            return None
        return next(self._found(p, face) for p, face in self._faces if p.number == number)

    def embed(self, chips: np.ndarray) -> list[Probe]:
        """Identify the person of each chip by its pixels."""
        return [self._probe(chip) for chip in chips]

    def _found(self, person: Person, face: Face) -> Face:
        self.detected[person.number] = self.at, face
        return face

    def _probe(self, chip: np.ndarray) -> Probe:
        patch = chip[44:76, 44:68].astype(np.float32)
        code = round(float(patch[..., 0].mean() - patch[..., 2].mean()) / (2 * _STEP)) + 3
        person = next(p for p in self.scene.people if p.number == code)
        vector = _IDENTITIES[person.identity] * np.float32(self.scene.likeness)
        own = _OWN + len(_CODED) * self.scene.camera + person.number
        vector[own] = np.sqrt(1 - self.scene.likeness**2)
        if person.is_poor(self.at):
            vector *= np.float32(0.45)
            vector[-1 - person.number] = np.sqrt(1 - 0.45**2)
        maps = np.zeros((3, 14, 14), np.float32)
        maps[0] = 0.5
        return Probe(vector, maps, 0.99 if person.masked else 0.01, 1.0)

    def _picture(self, found: Sequence[tuple[Person, Face]]) -> np.ndarray:
        picture = _BACKGROUND.copy()
        for person, face in reversed(found):
            x0, y0, x1, y1 = np.clip(face.box_xyxy, 0, (WIDTH, HEIGHT) * 2).astype(int)
            picture[y0:y1, x0:x1] = _CODED[person.number][y0:y1, x0:x1]
        return picture


class TruthLayer:
    """Liveness layer that recognises photos; it passes after some frames of a living face."""

    name = "truth"

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: list[float] = []
        self._is_photo = False
        self._persons = world.evidence.setdefault(len(world.evidence), set())

    def observe(self, frame: LivenessFrame) -> None:
        person = self._world.person_of(frame.face)
        assert person is not None
        self._persons.add(person.number)
        self._is_photo = self._is_photo or person.kind is Kind.PHOTO
        self._seen.append(frame.at)

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        if self._is_photo:
            return LivenessResult(LivenessState.FAILED, Reason.NO_MOTION)
        enough = len(self._seen) >= _EVIDENCE and self._seen[-1] - self._seen[0] >= _EVIDENCE_S
        if not enough:
            return LivenessResult(LivenessState.WAITING, Reason.CHECKING)
        return LivenessResult(LivenessState.PASSED, since=self._seen[0])


def _face(x: float, width: float, is_turned: bool) -> Face:
    y = 30.0
    points = (REFERENCE_XY - REFERENCE_XY.mean(axis=0)) * width / 90 + (x, y + 0.6 * width)
    if is_turned:
        points[2, 0] += 0.4 * width
    box = np.array([x - width / 2, y, x + width / 2, y + 1.2 * width], np.float32)
    return Face(box, points.astype(np.float32), 0.9)
