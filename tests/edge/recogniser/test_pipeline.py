"""Pipeline with scripted networks: which faces count, are embedded and granted access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import pytest

from edge.access.policy import DecisionRules
from edge.access.reasons import Reason
from edge.access.thresholds import ThresholdScaling
from edge.bundle import read_manifest
from edge.chip import REFERENCE_XY
from edge.config.policy import PolicyConfig
from edge.face.boxes import iou
from edge.face.detect import FaceDetector
from edge.face.liveness import LivenessFrame, LivenessLayer
from edge.gallery.search import Index
from edge.recogniser.build import build_rules, build_threshold_scaling, default_record
from edge.recogniser.lane_guard import LaneGuard
from edge.recogniser.pipeline import Pipeline
from edge.recogniser.pipeline_values import FaceFilter, SubjectLookup
from edge.subject import PersonRights, SubjectRecord
from edge.values import (
    Face,
    FaceResult,
    Frame,
    LivenessResult,
    LivenessState,
    Match,
    Probe,
    Thresholds,
    Verdict,
    Zone,
)
from tests.builders import make_filter, make_rules, make_settings

RULES = make_rules(Thresholds(0.5, 0.5), min_votes_masked=3)
ADA, EVE, STRANGER = np.eye(3, 8, dtype=np.float32)
NOISE = np.random.default_rng(0).integers(40, 200, (480, 640, 3), dtype=np.uint8)


def face(x: float, y: float = 60.0, width: float = 120.0, score: float = 0.9) -> Face:
    """Return a frontal face of a width."""
    points = (REFERENCE_XY - REFERENCE_XY.mean(axis=0)) * width / 90 + (
        x + width / 2,
        y + width * 0.6,
    )
    box = np.array([x, y, x + width, y + 1.2 * width], np.float32)
    return Face(box, points.astype(np.float32), score)


class Scripted:
    """Detector and embedder with scripted results; `embedded` counts the chips of each batch."""

    def __init__(self) -> None:
        self.faces: Sequence[Face] = []
        self.identity = ADA
        self.further: list[np.ndarray] = []  # identities of further chips of a batch
        self.mask_worn = 0.0
        self.similarity = 1.0
        self.background = 0.0
        self.embedded: list[int] = []
        self.searches = self.finds = 0

    def search(self, image: np.ndarray, min_face_px: float, zone: Zone) -> Sequence[Face]:
        self.searches += 1
        return self.faces

    def refine(self, image: np.ndarray, face: Face) -> Face:
        return face

    def find_at(self, image: np.ndarray, box_xyxy: np.ndarray) -> Face | None:
        self.finds += 1
        return max(self.faces, key=lambda face: iou(face.box_xyxy, box_xyxy), default=None)

    def embed(self, chips: np.ndarray) -> list[Probe]:
        self.embedded.append(len(chips))
        maps = np.zeros((3, 14, 14), np.float32)
        maps[0], maps[2] = 0.5, self.background
        identities = [self.identity, *self.further, *[self.identity] * len(chips)]
        return [
            Probe(identity, maps, self.mask_worn, self.similarity)
            for identity in identities[: len(chips)]
        ]


class Run:
    def __init__(
        self,
        face_filter: FaceFilter | None = None,
        layers: Sequence[type[LivenessLayer]] = (),
        max_unknown_per_minute: int = 10_000,
        lookup: SubjectLookup = default_record,
        rules: DecisionRules = RULES,
        names: Sequence[str] = ("Ada", "Eve"),
        migration: Callable[[Scripted], Any] = lambda networks: None,
        guard: LaneGuard | None = None,
    ) -> None:
        self.networks = Scripted()
        known = {"Ada": ADA, "Eve": EVE}
        gallery = Index.from_templates(names, np.stack([known[name] for name in names]))
        self.pipeline = Pipeline(
            self.networks,  # type: ignore[arg-type]
            self.networks,  # type: ignore[arg-type]
            gallery,
            lookup,
            make_settings(
                rules,
                face_filter,
                max_unknown_per_minute=max_unknown_per_minute,
                layers=layers,
            ),
            migration(self.networks),
            guard,
        )
        self.at = 0.0

    def frame(
        self, *faces: Face, image: np.ndarray = NOISE, claimed: str | None = None
    ) -> list[FaceResult]:
        self.networks.faces = faces
        self.at += 0.1
        return self.pipeline.recognise(Frame(image, self.at, round(self.at * 10)), claimed)


def test_three_matching_frames_are_a_grant() -> None:
    run = Run()
    verdicts = [run.frame(face(100))[0].decision for _ in range(4)]
    assert [d.verdict for d in verdicts[:3]] == [Verdict.PENDING, Verdict.PENDING, Verdict.GRANT]
    assert (
        verdicts[2].match is not None
        and verdicts[2].match.subject == "Ada"
        and verdicts[3].reason == "skipped"
    )


CLAIM_RULES = replace(RULES, verification=Thresholds(0.4, 0.4))
_DOUBTFUL = np.array([0.45, 0.44, *np.zeros(6)], np.float32)  # as like Ada as Eve
DOUBTFUL = _DOUBTFUL + np.sqrt(1 - (_DOUBTFUL**2).sum()) * np.eye(8, dtype=np.float32)[7]


@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [("Ada", Verdict.GRANT), ("Eve", Verdict.GRANT), (None, Verdict.UNKNOWN), ("Bob", "unknown")],
)
def test_holder_is_compared_alone(claimed: str | None, verdict: Verdict | str) -> None:
    run = Run(rules=CLAIM_RULES)
    run.networks.identity = DOUBTFUL
    decision = [run.frame(face(100), claimed=claimed)[0].decision for _ in range(3)][-1]
    assert decision.verdict == verdict and decision.match is not None
    assert decision.match.is_claimed == (verdict is Verdict.GRANT)
    if decision.match.is_claimed:
        assert decision.match.subject == claimed and decision.threshold == 0.4


def test_stranger_with_a_card_is_unknown() -> None:
    run = Run(rules=CLAIM_RULES)
    run.networks.identity = STRANGER
    decisions = [run.frame(face(100), claimed="Ada")[0].decision for _ in range(5)]
    assert all(one.verdict is Verdict.UNKNOWN for one in decisions)


def test_one_vote_by_claim_marks_the_grant() -> None:
    run = Run(rules=CLAIM_RULES)
    for identity, claimed in ((DOUBTFUL, "Ada"), (ADA, None), (ADA, None)):
        run.networks.identity = identity
        decision = run.frame(face(100), claimed=claimed)[0].decision
    assert decision.verdict is Verdict.GRANT
    assert decision.match is not None and decision.match.is_claimed


def test_search_has_priority_over_a_claim() -> None:
    run = Run(rules=CLAIM_RULES)
    decision = [run.frame(face(100), claimed="Eve")[0].decision for _ in range(3)][-1]
    assert decision.match is not None and decision.match.subject == "Ada"
    assert not decision.match.is_claimed


@pytest.mark.parametrize(
    ("regard", "where", "reason"),
    [
        (make_filter(60), face(100, width=40), "too-small"),
        (make_filter(60, zone=(0.5, 0, 1, 1)), face(100), "outside-zone"),
        (make_filter(60), face(-40), "off-centre"),
    ],
)
def test_faces_that_do_not_count_are_not_embedded(
    regard: FaceFilter, where: Face, reason: str
) -> None:
    run = Run(regard)
    (seen,) = run.frame(where)
    assert (seen.decision.verdict, seen.decision.reason) == (
        Verdict.REFUSED,
        reason,
    ) and run.networks.embedded == []
    assert seen.is_conclusive


def test_only_undecided_are_found_between_scans() -> None:
    run = Run(make_filter(60, search_interval_s=1.0))
    verdicts = [seen[0].decision.verdict for _ in range(3) if (seen := run.frame(face(100)))]
    assert verdicts[-1] is Verdict.GRANT and (run.networks.searches, run.networks.finds) == (1, 2)
    for _ in range(7):
        assert (
            run.frame(face(100), face(400)) == []
        )  # decided: nothing is searched before the next search is due
    assert (run.networks.searches, run.networks.finds) == (1, 2)
    assert len(run.frame(face(100), face(400))) == 2 and run.networks.searches == 2


def test_missing_face_causes_a_search_at_once() -> None:
    run = Run(make_filter(60, search_interval_s=1.0))
    run.frame(face(100))
    assert run.frame() == [] and (run.networks.searches, run.networks.finds) == (2, 1)
    assert run.frame() == [] and (run.networks.searches, run.networks.finds) == (
        2,
        1,
    )  # a lost face is not searched in every frame


def test_interval_zero_searches_every_frame() -> None:
    run = Run(make_filter(60))
    for _ in range(5):
        run.frame(face(100))
    assert (run.networks.searches, run.networks.finds) == (5, 0)


def test_a_crowd_takes_turns_within_the_budget() -> None:
    run = Run(make_filter(60, max_faces=2))
    crowd = [face(x, y, 60) for x in (10, 200, 400) for y in (20, 200)]
    conclusive = [sum(seen.is_conclusive for seen in run.frame(*crowd)) for _ in range(6)]
    assert conclusive == [2] * 6


def test_dark_or_blurred_face_is_refused() -> None:
    run = Run()
    assert run.frame(face(100), image=NOISE // 12)[0].decision.reason == "too-dark"
    soft = cv2.resize(NOISE[:12, :16], (640, 480), interpolation=cv2.INTER_CUBIC)
    assert run.frame(face(100), image=soft)[0].decision.reason == "blurred"


def test_only_the_nearest_where_people_queue() -> None:
    run = Run(make_filter(60, nearest_only=True))
    near, far = run.frame(face(400, width=100), face(100, width=150))
    assert near.face.width_px == 150 and far.decision.reason == "not-nearest"


@pytest.mark.parametrize("budget", [1, 2, 4])
def test_nearest_only_ignores_faces_behind(budget: int) -> None:
    run = Run(make_filter(60, nearest_only=True, search_interval_s=0.2, max_faces=budget))
    run.networks.identity = STRANGER
    queue = face(400, width=160), face(100, width=100), face(250, width=90)
    for _ in range(150):  # longer than the decision timeout of the person in front
        behind = [seen for seen in run.frame(*queue) if seen.face.width_px < 160]
        assert all(seen.decision.reason == "not-nearest" for seen in behind)


def test_nearest_only_missed_face_still_blocks() -> None:
    run = Run(make_filter(60, nearest_only=True))
    front, behind = face(400, width=160), face(100, width=100)
    run.frame(front, behind)
    reasons = [seen.decision.reason for _ in range(9) for seen in run.frame(behind)]
    assert set(reasons) == {"not-nearest"}
    for _ in range(5):
        verdicts = [seen.decision.verdict for seen in run.frame(behind)]
    assert Verdict.PENDING in verdicts or Verdict.GRANT in verdicts


def test_nearest_only_grant_needs_a_full_search() -> None:
    run = Run(make_filter(60, nearest_only=True, search_interval_s=1.0))
    run.frame(face(100, width=100))
    run.frame(face(100, width=100))
    newcomer = face(400, width=160)  # in the frame of the other person's third vote
    seen = run.frame(face(100, width=100), newcomer)
    assert {one.decision.verdict for one in seen} != {Verdict.GRANT}
    assert all(one.decision.reason == "not-nearest" for one in seen if one.face is not newcomer)


def test_faces_take_turns_at_constant_load() -> None:
    run = Run(make_filter(60, max_faces=2))
    crowd = [face(10 + 125 * i, width=100) for i in range(5)]
    tracks: set[int] = set()
    for _ in range(3):
        tracks |= {s.track for s in run.frame(*crowd) if s.probe is not None}
    assert run.networks.embedded == [2, 2, 2] and len(tracks) == 5


def test_decided_face_is_embedded_once_a_second() -> None:
    run = Run()
    for _ in range(13):
        run.frame(face(100))
    assert run.networks.embedded == [1, 1, 1, 1]  # three votes, and once more a second later
    run.networks.identity = STRANGER
    for _ in range(10):
        seen = run.frame(face(100))
    assert seen[0].track == 2  # another person stands there now


def test_attention_on_background_is_refused() -> None:
    run = Run()
    run.networks.background = 0.9
    assert run.frame(face(100))[0].decision.reason == "attention-off-face"


HIDDEN_RULES = replace(RULES, min_expected_similarity=0.4)


@pytest.mark.parametrize("similarity", [0.39, float("nan")])
def test_hidden_face_is_refused_without_search(similarity: float) -> None:
    run = Run(rules=HIDDEN_RULES)
    run.networks.similarity = similarity
    (seen,) = run.frame(face(100))
    decision = seen.decision
    assert (decision.verdict, decision.reason) == (Verdict.REFUSED, "face-hidden")
    assert decision.match is None and seen.is_conclusive
    assert seen.probe is not None and seen.visibility is not None


def test_hidden_frames_are_no_votes() -> None:
    """Votes before and after a hand in front of the face count together."""
    run = Run(rules=HIDDEN_RULES)
    decisions = []
    for similarity, identity in ((1, ADA), (0.1, STRANGER), (0.4, ADA), (0.1, EVE), (1, ADA)):
        run.networks.similarity, run.networks.identity = similarity, identity
        (seen,) = run.frame(face(100))
        decisions.append((seen.track, seen.decision.reason, seen.decision.votes))
    assert decisions == [
        (1, "insufficient-votes", 1),
        (1, "face-hidden", 0),
        (1, "insufficient-votes", 2),
        (1, "face-hidden", 0),
        (1, "match", 3),
    ]


def test_hidden_face_hands_no_votes_to_another() -> None:
    run = Run(rules=HIDDEN_RULES)
    for _ in range(2):
        run.frame(face(100))
    run.networks.similarity = 0.1
    run.frame(face(100))
    run.networks.similarity, run.networks.identity = 1.0, EVE
    (seen,) = run.frame(face(100))
    assert (seen.track, seen.decision.verdict, seen.decision.votes) == (2, Verdict.PENDING, 1)


def test_hidden_faces_are_not_counted_as_unknown() -> None:
    run = Run(rules=HIDDEN_RULES, max_unknown_per_minute=1)
    run.networks.identity, run.networks.similarity = STRANGER, 0.1
    for _ in range(8):
        run.frame(face(100))
        run.at += 1.5  # a new track each time
    run.networks.identity, run.networks.similarity = ADA, 1.0
    verdicts = [run.frame(face(100))[0].decision.verdict for _ in range(3)]
    assert verdicts[-1] is Verdict.GRANT


def test_weak_face_is_a_vote_of_its_track() -> None:
    run = Run()
    decisions = [run.frame(face(100, score=score))[0].decision for score in (0.9, 0.5, 0.5)]
    assert [d.votes for d in decisions] == [1, 2, 3] and decisions[2].verdict is Verdict.GRANT


def test_weak_face_without_a_track_is_ignored() -> None:
    run = Run()
    assert run.frame(face(100, score=0.69)) == [] and run.networks.embedded == []


def test_weak_stranger_is_skipped() -> None:
    """A false face near a track neither votes nor ends the track."""
    run = Run()
    for identity, score, reason in (
        (ADA, 0.9, "insufficient-votes"),
        (STRANGER, 0.5, "skipped"),
        (EVE, 0.5, "skipped"),
        (ADA, 0.5, "insufficient-votes"),
        (ADA, 0.9, "match"),
    ):
        run.networks.identity = identity
        (seen,) = run.frame(face(100, score=score))
        assert (seen.track, seen.decision.reason) == (1, reason)


def test_weak_faces_confirm_no_hidden_start() -> None:
    """A track whose only face was hidden has no embedding that a weak face could match."""
    run = Run(rules=HIDDEN_RULES)
    run.networks.similarity = 0.1
    run.frame(face(100))
    run.networks.similarity = 1.0
    reasons = [run.frame(face(100, score=0.6))[0].decision.reason for _ in range(5)]
    assert reasons == ["skipped"] * 5


def test_weak_faces_do_not_extend_a_track() -> None:
    """Unconfirmed faces keep no track alive: their person may have left."""
    run = Run()
    run.frame(face(100))
    run.networks.identity = STRANGER
    seen = [run.frame(face(100, score=0.5)) for _ in range(30)]
    assert seen[5] and seen[-1] == []


def test_another_person_inherits_no_votes() -> None:
    run = Run()
    for _ in range(2):
        run.frame(face(100))
    run.networks.identity = EVE
    decisions = [run.frame(face(100))[0].decision for _ in range(3)]
    assert [d.votes for d in decisions] == [1, 2, 3] and decisions[2].verdict is Verdict.GRANT


class Reluctant:
    """Layer that fails at first, and passes after half a second."""

    name = "reluctant"

    def __init__(self) -> None:
        self.seen = 0

    def observe(self, frame: LivenessFrame) -> None:
        self.seen += 1

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        return (
            LivenessResult(LivenessState.PASSED, since=0.65)
            if self.seen > 6
            else LivenessResult(LivenessState.WAITING, Reason.CHECKING)
        )


def test_votes_count_after_liveness_passed() -> None:
    run = Run(layers=[Reluctant])
    reasons = [run.frame(face(100))[0].decision.reason for _ in range(9)]
    assert reasons == ["insufficient-votes"] * 2 + ["checking"] * 4 + ["insufficient-votes"] * 2 + [
        "match"
    ]
    assert run.frame()[:] == []


class Counting:
    """Layer that passes at once and counts its frames."""

    name = "counting"
    frames: ClassVar[list[LivenessFrame]] = []

    def observe(self, frame: LivenessFrame) -> None:
        self.frames.append(frame)

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        return LivenessResult(LivenessState.PASSED)


@pytest.fixture
def counted() -> list[LivenessFrame]:
    Counting.frames.clear()
    return Counting.frames


def turned(x: float) -> Face:
    """Return a face that the quality gate refuses as turned away."""
    straight = face(x)
    points = straight.landmarks_xy.copy()
    points[2, 0] += 45
    return Face(straight.box_xyxy, points, straight.score)


def test_liveness_refused_frames_are_no_evidence(counted: list[LivenessFrame]) -> None:
    run = Run(layers=[Counting])
    assert run.frame(turned(100))[0].decision.reason == "turned-away"
    run.networks.background = 0.9
    assert run.frame(face(100))[0].decision.reason == "attention-off-face"
    assert counted == []


def test_liveness_unknown_face_is_no_evidence(counted: list[LivenessFrame]) -> None:
    run = Run(layers=[Counting])
    run.networks.identity = STRANGER
    run.frame(face(100))
    assert counted == []
    run.networks.identity = ADA
    run.frame(face(400))
    assert len(counted) == 1


def between(share: float) -> np.ndarray:
    """Return a unit vector whose cosine with Ada is `share`."""
    return np.asarray(share * ADA + np.sqrt(1 - share**2) * STRANGER, np.float32)


def test_liveness_weak_frame_that_follows_counts(counted: list[LivenessFrame]) -> None:
    run = Run(layers=[Counting])
    reasons = []
    for share in (1.0, 0.7, 0.45):  # a head that turns
        run.networks.identity = between(share)
        reasons.append(run.frame(face(100))[0].decision.reason)
    assert reasons[-1] == "below-threshold"
    assert len(counted) == 3


@pytest.mark.parametrize("mask", ["ignore", "ask"])
def test_liveness_lookalike_is_no_evidence(
    counted: list[LivenessFrame], mask: Literal["ignore", "ask"]
) -> None:
    run = Run(layers=[Counting], rules=replace(RULES, mask=mask))
    run.networks.mask_worn = 0.95
    tracks = {run.frame(face(100))[0].track}
    run.networks.identity = between(0.45)  # the score with Ada of one person in a hundred
    for _ in range(5):
        (seen,) = run.frame(face(100))
        tracks.add(seen.track)
    assert seen.decision.reason == ("lower-mask" if mask == "ask" else "below-threshold")
    assert len(tracks) == len(counted) == 1


@pytest.mark.parametrize(("gap", "is_void"), [(8, False), (11, True)])
def test_liveness_gap_voids_evidence(gap: int, is_void: bool) -> None:
    run = Run(
        layers=[Reluctant], rules=replace(RULES, min_votes=8, min_votes_masked=8, window_s=2.0)
    )
    for _ in range(7):
        run.frame(face(100))
    for _ in range(gap):
        run.frame(turned(100))
    reasons = [run.frame(face(100))[0].decision.reason for _ in range(9)]
    new_votes = reasons.index("match") + 1
    assert new_votes == (8 if is_void else 7)  # one vote from before the gap counts


def test_liveness_votes_before_evidence_are_void(counted: list[LivenessFrame]) -> None:
    run = Run(
        layers=[Counting], rules=replace(RULES, min_votes=4, min_votes_masked=4, window_s=4.0)
    )
    for _ in range(3):
        run.frame(face(100))
    for _ in range(11):
        run.frame(turned(100))
    verdicts = [run.frame(face(100))[0].decision.verdict for _ in range(4)]
    assert verdicts == [Verdict.PENDING] * 3 + [Verdict.GRANT]


class Previous:
    """Previous model that knows Ada by the same embedding."""

    templates, rules, model = 1, RULES, "0" * 64

    def __init__(self, networks: Scripted) -> None:
        self.embedder = networks

    def search(self, embedding: np.ndarray) -> Match:
        return Match("Ada", float(embedding @ ADA), -1.0)

    def add_sample(self, result: FaceResult, embedding: np.ndarray) -> None: ...

    def retain_tracks(self, tracks: set[int]) -> None: ...


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"mask": "require"}, "mask-required"), ({"margin": 2.5}, "below-threshold")],
)
def test_reload_reaches_the_previous_model(changed: dict[str, Any], reason: str) -> None:
    run = Run(names=("Eve",), migration=Previous)
    assert run.frame(face(100))[0].decision.reason == "insufficient-votes"
    run.pipeline.update_settings(make_settings(replace(RULES, **changed)))
    assert run.frame(face(100))[0].decision.reason == reason


def test_new_rules_apply_to_the_next_frame() -> None:
    run = Run()
    run.frame(face(100))
    run.pipeline.update_settings(make_settings(replace(RULES, min_votes=2)))
    assert run.frame(face(100))[0].decision.verdict is Verdict.GRANT


def test_face_that_fills_the_frame_is_found(detector: FaceDetector, collins: np.ndarray) -> None:
    found = detector.detect(collins)[0]
    scale = 700 / found.width_px
    centre = found.box_xyxy.reshape(2, 2).mean(axis=0)
    shift = np.array([[scale, 0, 320 - scale * centre[0]], [0, scale, 240 - scale * centre[1]]])
    near = cv2.warpAffine(collins, shift, (640, 480), borderMode=cv2.BORDER_REPLICATE)
    widths = [f.width_px for _ in range(4) for f in detector.detect(near)]
    assert len(widths) == 2 and min(widths) > 500


@pytest.mark.parametrize(
    ("rights", "verdict"),
    [
        (PersonRights(valid_until=date(2999, 1, 1)), Verdict.REFUSED),
        (PersonRights(valid_from=date(2020, 1, 1)), Verdict.REFUSED),
        (PersonRights(max_uses=2), Verdict.REFUSED),
        (PersonRights(mode="pin-and-face"), Verdict.REFUSED),
        (PersonRights(groups=("staff",), extended=True), Verdict.GRANT),
    ],
    ids=["until", "from", "visits", "mode", "groups"],
)
def test_unmoved_days_are_refused(rights: PersonRights, verdict: Verdict) -> None:
    """The days are still in the gallery, and the door does not know them."""
    run = Run(lookup=lambda subject: SubjectRecord(unmoved_rights=rights))
    last = [run.frame(face(100))[0].decision for _ in range(3)][-1]
    assert last.verdict is verdict
    assert (last.reason == "rights-not-moved") == (verdict is Verdict.REFUSED)


def test_subject_without_record_is_refused() -> None:
    run = Run(lookup=lambda subject: None)
    assert {run.frame(face(100))[0].decision.reason for _ in range(5)} == {"not-enrolled"}


def test_subject_exempt_from_masks_is_granted() -> None:
    strict = replace(RULES, mask="require")
    assert [Run(rules=strict).frame(face(100))[0].decision.reason for _ in range(1)] == [
        "mask-required"
    ]
    run = Run(rules=strict, lookup=lambda subject: SubjectRecord(mask="any"))
    assert [run.frame(face(100))[0].decision.verdict for _ in range(3)][-1] is Verdict.GRANT


def test_many_unknown_faces_refuse_all_grants() -> None:
    run = Run(max_unknown_per_minute=3)
    for n in range(5):
        run.networks.identity = STRANGER
        run.frame(face(100 + 400 * (n % 2)))
        run.at += 2.0
    run.networks.identity = ADA
    assert {run.frame(face(100))[0].decision.reason for _ in range(6)} == {"too-many-attempts"}
    run.at += 70.0
    assert [run.frame(face(100))[0].decision.verdict for _ in range(3)][-1] is Verdict.GRANT


class Asking:
    name = "challenge"

    def observe(self, frame: LivenessFrame) -> None: ...

    def result(self, at: float, *, near_threshold: bool) -> LivenessResult:
        return LivenessResult(LivenessState.WAITING, Reason.TURN_LEFT)


def test_no_challenge_subject_is_not_challenged() -> None:
    run = Run(layers=[Asking])
    assert [run.frame(face(100))[0].decision.reason for _ in range(3)][-1] == "turn-left"
    run = Run(layers=[Asking], lookup=lambda subject: SubjectRecord(liveness="no-challenge"))
    assert [run.frame(face(100))[0].decision.verdict for _ in range(3)][-1] is Verdict.GRANT


def test_thresholds_follow_the_gallery_size() -> None:
    """Half a decade above the supported size, until a subject is erased again."""
    rules = replace(
        RULES,
        scaling=ThresholdScaling(
            RULES.thresholds, supported_templates=2, score_per_decade=0.4, fmr=1e-3
        ),
    )
    run = Run(rules=rules)
    index = run.pipeline.gallery
    assert isinstance(index, Index)
    run.networks.identity = (ADA + 0.75 * STRANGER) / np.float32(1.25)  # a score of 0.8

    def seen() -> tuple[str, float]:
        decision = run.frame(face(100))[0].decision
        return decision.reason, decision.threshold

    assert seen() == ("insufficient-votes", 0.5)
    index.add(7, "Bob", np.tile(np.eye(1, 8, 5, dtype=np.float32), (18, 1)))
    assert seen() == ("below-threshold", pytest.approx(0.9))
    index.update({7: None})
    assert seen() == ("insufficient-votes", 0.5)


def test_rules_take_the_calibration_of_the_model(bundle_path: Path) -> None:
    calibration = read_manifest(bundle_path).calibration
    rules = build_rules(PolicyConfig(threshold_unmasked=0.7), calibration)
    assert (
        rules.scaling is not None and rules.scaling.supported_templates == calibration.gallery_size
    )
    assert rules.scaling.score_per_decade == pytest.approx(
        (calibration.unmasked.threshold - calibration.same_person) / 3, rel=1e-6
    )
    assert rules.scaling.base == Thresholds(
        calibration.unmasked.threshold, calibration.masked.threshold
    )
    at_one = calibration.model_copy(
        update={"unmasked": calibration.unmasked.model_copy(update={"target_fmr": 1e-2})}
    )
    steep = build_threshold_scaling(at_one)
    large = replace(rules, scaling=steep).for_size(10 * steep.supported_templates)
    assert large.thresholds.unmasked == pytest.approx(1)


def test_gallery_unreadable_refuses_all() -> None:
    run = Run()
    for _ in range(2):
        run.frame(face(100))
    run.pipeline.gallery.refusal = Reason.GALLERY_UNREADABLE  # type: ignore[misc]
    looked = len(run.networks.embedded)
    decisions = [run.frame(face(100))[0].decision for _ in range(3)]
    assert {(d.verdict, d.reason) for d in decisions} == {(Verdict.REFUSED, "gallery-unreadable")}
    assert len(run.networks.embedded) == looked
    run.pipeline.gallery.refusal = None  # type: ignore[misc]
    run.at += 5
    assert [run.frame(face(100))[0].decision.verdict for _ in range(3)][-1] is Verdict.GRANT
