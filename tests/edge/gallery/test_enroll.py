from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import masks
from edge.errors import ConfigError, EngineError, PhotoError
from edge.face import quality
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.gallery.enrollment.attributes import AGREEING_MIN, PHOTOS_MIN
from edge.gallery.enrollment.consistency import Enrollee, MatchThresholds, check_same_person
from edge.gallery.enrollment.enroller import check_level
from edge.gallery.enrollment.photos import (
    FaceSample,
    QualityLevel,
    QualityRequirements,
    find_face,
    take_sample,
    take_samples,
)
from edge.gallery.search import Index
from tests.bundles import EMBEDDING


def take(
    image: np.ndarray, detector: FaceDetector, embedder: Embedder, level: QualityLevel = "standard"
) -> FaceSample:
    return take_sample(image, detector, embedder, QualityRequirements(level, 60), "photo")


def refusal(
    image: np.ndarray, detector: FaceDetector, embedder: Embedder, level: QualityLevel = "standard"
) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        take(image, detector, embedder, level)
    assert "photo" in str(caught.value)
    return caught.value


@pytest.fixture(scope="module")
def masked(collins: np.ndarray, detector: FaceDetector) -> np.ndarray:
    return masks.draw(
        collins,
        masks.MaskStyle("surgical", (222, 190, 140)),
        detector.detect(collins)[0].landmarks_xy,
    )[0]


def test_sample_of_good_photo_has_components(
    detector: FaceDetector, embedder: Embedder, collins: np.ndarray
) -> None:
    taken = take(collins, detector, embedder)
    assert taken.probe.embedding.shape == (EMBEDDING,)
    assert {"single_face_present", *quality.MESSAGES, "mouth_occlusion_prevention"} == set(
        taken.components
    )
    assert all(0 <= value <= 100 for value in taken.components.values())


def test_sample_refusal_has_reason_and_components(
    detector: FaceDetector,
    embedder: Embedder,
    collins: np.ndarray,
    hopper: np.ndarray,
    masked: np.ndarray,
) -> None:
    two = np.hstack([cv2.resize(collins, (512, 600)), hopper])
    dark = (collins * 0.12).astype(np.uint8)
    found = {
        name: refusal(image, detector, embedder)
        for name, image in {
            "no-face": np.full((480, 640, 3), 80, np.uint8),
            "several-faces": two,
            "too-small": cv2.resize(collins, (256, 256)),
            "mask-worn": masked,
            "too-dark": dark,
        }.items()
    }
    assert {name: error.reason for name, error in found.items()} == {name: name for name in found}
    assert found["several-faces"].components == {"single_face_present": 0}
    assert "under_exposure_prevention" in str(found["too-dark"]) and "40 is needed" in str(
        found["too-dark"]
    )
    assert found["too-dark"].components["under_exposure_prevention"] < 40
    assert "eyes_visible" in found["mask-worn"].components


def test_sample_level_off_needs_one_bare_face(
    detector: FaceDetector, embedder: Embedder, collins: np.ndarray, masked: np.ndarray
) -> None:
    assert take(cv2.resize(collins, (256, 256)), detector, embedder, "off").face.width_px < 60
    assert take((collins * 0.12).astype(np.uint8), detector, embedder, "off")
    assert refusal(masked, detector, embedder, "off").reason == "mask-worn"
    assert (
        refusal(np.full((480, 640, 3), 80, np.uint8), detector, embedder, "off").reason == "no-face"
    )


def test_find_face_does_not_depend_on_history(detector: FaceDetector, collins: np.ndarray) -> None:
    """The detector searches for faces that fill the picture only every second time."""
    x0, y0, x1, y1 = detector.detect(collins)[0].box_xyxy
    inset = 0.15 * np.array([x1 - x0, y1 - y0])
    near = np.ascontiguousarray(
        collins[int(y0 + inset[1]) : int(y1 - inset[1]), int(x0 + inset[0]) : int(x1 - inset[0])]
    )
    assert {len(detector.detect(near)) for _ in range(2)} == {0, 1}
    for _ in range(3):
        assert find_face(near, detector, "near").width_px > 0


def test_sample_embedding_not_finite_raises(detector: FaceDetector, collins: np.ndarray) -> None:
    class Broken:
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            count = len(batch)
            return {
                "embedding": np.full((count, 8), np.nan),
                "attention": np.zeros((count, 3, 14, 14)),
                "mask_worn": np.zeros(count),
                "expected_similarity": np.ones(count),
            }

        def close(self) -> None: ...

    with pytest.raises(EngineError, match="not finite"):
        take(collins, detector, Embedder(Broken()), "off")


def test_samples_refused_photos_stop_no_others(
    detector: FaceDetector,
    embedder: Embedder,
    collins: np.ndarray,
    hopper: np.ndarray,
    masked: np.ndarray,
) -> None:
    damaged = PhotoError("unreadable", "c: not a picture")
    pictures = [
        ("a", collins),
        ("b", np.zeros((480, 640, 3), np.uint8)),
        ("c", damaged),
        ("d", masked),
        ("e", hopper),
    ]
    taken, refused = take_samples(pictures, detector, embedder, QualityRequirements("standard", 60))
    assert [one.name for one in taken] == ["a", "e"]
    assert {one.photo: one.reason for one in refused} == {
        "b": "no-face",
        "c": "unreadable",
        "d": "mask-worn",
    }
    alone = take(collins, detector, embedder)
    assert alone.probe.embedding @ taken[0].probe.embedding == pytest.approx(
        1, abs=1e-5
    )  # each has its own embedding


# One axis per person in a space of 8: two people score 0.
EMPTY = Index()
THRESHOLDS = MatchThresholds(same_person=0.3, enrolled=0.6)


def face(person: int, *, like: int | None = None, share: float = 0.0) -> np.ndarray:
    """Return an embedding of one person, with a share of another person's."""
    found = np.zeros(8, np.float32)
    found[person] = np.sqrt(1 - share**2)
    if like is not None:
        found[like] = share
    return found


def check(
    found: Sequence[np.ndarray],
    known: Index = EMPTY,
    level: QualityLevel = "standard",
    enrolled: np.ndarray | None = None,
    distinct: Sequence[str] = (),
) -> Outcome | str:
    try:
        made = check_same_person(
            ada(len(found), distinct), np.stack(found), known, THRESHOLDS, level, enrolled
        )
    except PhotoError as error:
        return error.reason
    left = {
        reason: tuple(one.index for one in made.excluded if one.reason == reason)
        for reason in ("outlier-photo", "closer-to-other-subject", "matches-other-subject")
    }
    return Outcome(made.kept, *left.values(), made.lowest_similarity)


class Outcome(NamedTuple):
    """Numbers of samples; those left out by reason."""

    kept: tuple[int, ...]
    unlike: tuple[int, ...]
    nearer: tuple[int, ...]
    like_another: tuple[int, ...]
    alike: float


def ada(photos: int, distinct: Sequence[str] = ()) -> Enrollee:
    return Enrollee(
        "Ada", [f"photos/{n}.jpg" for n in range(photos)], lambda other: other in distinct
    )


def why(found: Sequence[np.ndarray], known: Index, enrolled: np.ndarray | None = None) -> str:
    with pytest.raises(PhotoError) as caught:
        check_same_person(ada(len(found)), np.stack(found), known, THRESHOLDS, "standard", enrolled)
    return str(caught.value)


def test_consistency_two_people_and_duplicates() -> None:
    known = Index.from_templates(["Bob"], face(0)[None])
    assert check([face(1), face(1)], known) == Outcome((0, 1), (), (), (), 1.0)
    assert check([face(1), face(0)]) == "different-people"
    assert check([face(0)], known) == "already-enrolled"
    bob = Enrollee("Bob", ["1.jpg"], lambda other: False)
    assert check_same_person(bob, face(0)[None], known, THRESHOLDS, "standard").kept == (0,)


def test_consistency_one_outlier_of_four_left_out() -> None:
    ada, bob = face(1), face(2)
    assert check([ada, bob, ada, ada]) == Outcome((0, 2, 3), (1,), (), (), 1.0)
    assert check([bob, ada, ada, ada, bob]) == Outcome((1, 2, 3), (0, 4), (), (), 1.0)
    assert check([ada, bob, ada]) == "different-people"  # two photos are too few to agree
    assert check([ada, ada, bob, bob]) == "different-people"
    assert check([ada, ada, ada, bob, bob, bob]) == "different-people"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_consistency_kept_person_is_majority(people: list[int]) -> None:
    found = check([face(person) for person in people])
    counts = sorted((people.count(person) for person in set(people)), reverse=True)
    if isinstance(found, Outcome):
        kept = {people[i] for i in found.kept}
        assert len(kept) == 1 and len(found.kept) == counts[0]
        assert not found.unlike or len(found.kept) >= 3
    else:
        assert len(counts) > 1 and (counts[0] < 3 or counts[0] <= len(people) / 2)


def test_consistency_other_than_enrolled_refused() -> None:
    known = Index.from_templates(["Ada"], face(1)[None])
    assert check([face(2)], known, enrolled=face(1)[None]) == "different-people"
    assert check([face(2)], known) == Outcome(
        (0,), (), (), (), 1.0
    )  # in place of the old: --replace
    assert check([face(1), face(1)], known, enrolled=face(1)[None]) == Outcome(
        (0, 1), (), (), (), 1.0
    )


def test_consistency_strict_closer_to_own_person() -> None:
    other = Index.from_templates(["Bob"], face(0)[None])
    near = face(
        1, like=0, share=THRESHOLDS.enrolled - 0.01
    )  # of another person, below the threshold
    far = [face(1), face(1), face(1)]
    assert check(far[:2], other, "strict") == "too-few-photos"
    assert check(far, other, "strict") == Outcome((0, 1, 2), (), (), (), 1.0)
    assert check([*far, near], other, "strict") == Outcome(
        (0, 1, 2, 3), (), (), (), pytest.approx(near[1])
    )
    lookalike = face(1, like=3, share=0.9)  # 0.44 like Ada and 0.5 like Bob
    bob = Index.from_templates(["Bob"], face(3, like=0, share=np.sqrt(1 - (0.5 / 0.9) ** 2))[None])
    assert check([*far, lookalike], bob, "standard") == Outcome(
        (0, 1, 2, 3), (), (), (), pytest.approx(0.436, abs=1e-3)
    )
    assert check([*far, lookalike], bob, "strict") == Outcome((0, 1, 2), (), (3,), (), 1.0)
    assert check([far[0], far[1], lookalike], bob, "strict") == "closer-to-other-subject"


@pytest.mark.parametrize(
    ("wanted", "configured", "holds"),
    [
        (None, "standard", "standard"),
        ("strict", "standard", "strict"),
        ("strict", "off", "strict"),
        ("off", "off", "off"),
        ("off", "standard", None),
        ("standard", "strict", None),
    ],
)
def test_check_level_may_only_tighten(
    wanted: QualityLevel | None, configured: QualityLevel, holds: QualityLevel | None
) -> None:
    if holds is not None:
        assert check_level(wanted, configured) == holds
    else:
        with pytest.raises(ConfigError, match=f"demands {configured}"):
            check_level(wanted, configured)


BOB = Index.from_templates(["Bob"] * 3, np.stack([face(0), face(0), face(0)]))
LIKE_BOB = face(1, like=0, share=0.7)  # one photo of Ada that matches Bob


def test_consistency_one_match_of_other_left_out() -> None:
    """A poor photo does not make two people duplicates."""
    assert check([face(1), face(1), LIKE_BOB], BOB) == Outcome((0, 1), (), (), (2,), 1.0)
    assert check([face(1), LIKE_BOB], BOB) == Outcome((0,), (), (), (1,), 1.0)


def test_consistency_most_match_other_refused() -> None:
    near = face(1, like=0, share=0.5)  # not the door's threshold, but that of one person
    assert check([near, LIKE_BOB], BOB) == "already-enrolled"
    assert check([near, near, LIKE_BOB, face(1), face(1)], BOB) == "already-enrolled"
    assert check([near, face(1), LIKE_BOB, face(1)], BOB) == Outcome(
        (0, 1, 3), (), (), (2,), pytest.approx(np.sqrt(0.75), abs=1e-3)
    )


def test_consistency_poor_enrolled_template_named() -> None:
    """The photos match a poor template of Bob."""
    bob = Index.from_templates(["Bob"] * 3, np.stack([face(0), face(0), face(1)]))
    assert check([face(1), face(1)], bob) == "matches-other-subject"
    assert "enroll that person again with --replace" in why([face(1), face(1)], bob)


def test_consistency_stated_as_distinct_kept() -> None:
    assert check([LIKE_BOB], BOB, distinct=["Bob"]) == Outcome((0,), (), (), (), 1.0)
    both = Index.from_templates(["Bob", "Cid"], np.stack([face(0), face(0)]))
    assert check([LIKE_BOB], both, distinct=["Bob"]) == "already-enrolled"
    assert check([LIKE_BOB], both, distinct=["Bob", "Cid"]) == Outcome((0,), (), (), (), 1.0)


def test_consistency_refusal_names_scores() -> None:
    said = why([face(1), face(2), face(1)], EMPTY)
    assert "0.jpg and 1.jpg score 0.00, 1.jpg and 2.jpg score 0.00;" in said
    assert "0.jpg and 2.jpg" not in said and "Drop 1.jpg: the others agree" in said
    assert "score 0.30 or more. Drop the one that is not Ada" in why([face(1), face(2)], EMPTY)
    assert "2.jpg, 3.jpg agree, 0.jpg, 1.jpg do not: drop those" in why(
        [face(1), face(1), face(2), face(2)], EMPTY
    )
    assert "No two of them agree" in why([face(1), face(2), face(3)], EMPTY)
    assert "0.jpg 0.00, 1.jpg 0.00; one person scores 0.30" in why(
        [face(2), face(2)], EMPTY, face(1)[None]
    )
    said = why([LIKE_BOB, LIKE_BOB], BOB)
    assert (
        "'Bob': 0.jpg scores 0.70" in said
        and "0.jpg 0.70, 1.jpg 0.70 (the same person from 0.30)" in said
    )
    assert "--not-a-duplicate 'Bob' --reason WORDS" in said


def test_consistency_many_pairs_names_the_worst() -> None:
    assert "and 15 more pairs" in why([face(n) for n in range(7)], EMPTY)


def test_consistency_outlier_message_has_score() -> None:
    made = check_same_person(
        ada(4), np.stack([face(1), face(2), face(1), face(1)]), EMPTY, THRESHOLDS, "standard"
    )
    assert [one.message for one in made.excluded] == [
        "1.jpg: scores 0.00 with the other photos, at least 0.30 is expected of one person; "
        "check who is on this photo"
    ]


@pytest.mark.parametrize("level", ["off", "standard", "strict"])
def test_consistency_least_number_of_photos(level: QualityLevel) -> None:
    least = PHOTOS_MIN[level]
    assert check([face(1)] * least, EMPTY, level) == Outcome(tuple(range(least)), (), (), (), 1.0)
    if least > 1:
        assert check([face(1)] * (least - 1), EMPTY, level) == "too-few-photos"
    agreeing = [face(1)] * AGREEING_MIN
    assert check([*agreeing, face(2)]) == Outcome((0, 1, 2), (3,), (), (), 1.0)
    assert check([*agreeing[1:], face(2)]) == "different-people"
