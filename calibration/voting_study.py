"""Voting study: false and missed grants of a single-frame policy and of voting, on photo streams.

The results favour voting: independent photos of a person vary more than frames of one approach,
and the errors of a stranger's photos are independent. The report states this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration.metrics import clopper_pearson_upper
from calibration.scores import Outputs
from edge.access import policy
from edge.access.policy import DecisionRules
from edge.access.voting import Voting
from edge.face.track import Track
from edge.gallery.search import Index
from edge.system.markdown import format_table
from edge.values import Face, LivenessResult, LivenessState, Probe, Thresholds, Verdict

ENROLLED_PHOTOS = 2  # photos a subject
MIN_STREAM_PHOTOS = 3  # photos of a stream
_FRAMES, _FPS = 20, 10.0
_NO_FACE = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
_NO_MAP = np.zeros((3, 14, 14), np.float32)


@dataclass(frozen=True, slots=True)
class StudySubject:
    """Rows of one person's photos: enrolled ones and those of the stream."""

    name: str
    enrolled: tuple[int, ...]
    stream: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StudyGroups:
    """Subjects that approach, equally many strangers, and others that only fill galleries."""

    subjects: Sequence[StudySubject]
    strangers: Sequence[StudySubject]
    fillers: Sequence[StudySubject]


@dataclass(slots=True)
class StudyRow:
    """Counts of one policy on one kind of stream, in galleries of one size."""

    probes: str
    gallery: int
    policy: str
    thresholds: Thresholds  # for the number of templates
    subjects: int = 0
    missed: int = 0
    strangers: int = 0
    false: int = 0
    wrong: int = 0  # subjects that were granted under another name

    @property
    def false_bound(self) -> float:
        """Upper bound of the false-grant rate, 95 %."""
        return clopper_pearson_upper(self.false + self.wrong, self.strangers + self.subjects)


def split_people(
    bare: NDArray[np.int64], shown: NDArray[np.int64] | None, names: Sequence[str]
) -> StudyGroups:
    """Split people into groups by the labels of their bare photos (N,) and stream photos (M,).

    `shown` None: streams show the bare photos that are not enrolled. `names` belong to the labels.
    """
    able, fillers = [], []
    for label in np.unique(bare):
        rows = np.flatnonzero(bare == label).tolist()
        stream = (
            rows[ENROLLED_PHOTOS:] if shown is None else np.flatnonzero(shown == label).tolist()
        )
        if len(rows) >= ENROLLED_PHOTOS and len(stream) >= MIN_STREAM_PHOTOS:
            able.append(StudySubject(names[label], tuple(rows[:ENROLLED_PHOTOS]), tuple(stream)))
        else:
            fillers.append(StudySubject(names[label], tuple(rows[:1]), ()))
    half = len(able) // 2
    return StudyGroups(able[:half], able[half : 2 * half], fillers)


def galleries(
    people: StudyGroups, size: int
) -> Iterator[tuple[list[StudySubject], list[StudySubject], list[StudySubject]]]:
    """Yield enrolled people, those of them that approach, and strangers, for each gallery.

    Yields nothing if there are too few people.
    """
    subjects, walking = people.subjects, min(size, len(people.subjects))
    if size > len(subjects) + len(people.fillers) or not walking:
        return
    for start in range(0, len(subjects) - walking + 1, walking):
        own = list(subjects[start : start + walking])
        yield (
            [*own, *people.fillers[: size - walking]],
            own,
            list(people.strangers[start : start + walking]),
        )


class PhotoStreams:
    """Embeddings of all people, in each enrolled form and as the streams show them."""

    def __init__(self, enrolled: Sequence[Outputs], shown: Outputs) -> None:
        self._enrolled, self._shown = enrolled, shown

    def index(self, people: Iterable[StudySubject]) -> Index:
        found = [(person.name, row) for person in people for row in person.enrolled]
        names, rows = [name for name, _ in found], [row for _, row in found]
        return Index.from_templates(
            names * len(self._enrolled),
            np.concatenate([form["embedding"][rows] for form in self._enrolled]),
        )

    def play(
        self, person: StudySubject, index: Index, rules: DecisionRules, *, voted: bool
    ) -> str | None:
        """Return the name that is granted; the photos repeat, ten per second."""
        voting, track = Voting(rules), Track(1, _NO_FACE, 0.0)
        for frame in range(_FRAMES):
            row, at = person.stream[frame % len(person.stream)], frame / _FPS
            embedding = self._shown["embedding"][row]
            mask_worn = float(self._shown["mask_worn"][row])
            similarity = float(self._shown["expected_similarity"][row])
            if policy.is_face_hidden(similarity, rules):
                continue
            track.add_probe(Probe(embedding, _NO_MAP, mask_worn, similarity), at, same_person=-1.0)
            decision = policy.decide_frame(
                index.search(embedding),
                track.mask_worn if voted else mask_worn,
                rules,
                at,
                frame_mask_worn=mask_worn,
            )
            if voted:
                decision = voting.add_frame(1, decision, 1.0, LivenessResult(LivenessState.PASSED))
            if decision.match and decision.verdict is (Verdict.GRANT if voted else Verdict.PENDING):
                return decision.match.subject
        return None


def compare_policies(
    streams: PhotoStreams,
    people: StudyGroups,
    rules: DecisionRules,
    probes: str,
    sizes: Sequence[int],
) -> list[StudyRow]:
    """Run both policies in galleries of each size that the number of people allows."""
    rows = []
    for size in sizes:
        counted: list[StudyRow] = []
        made = tqdm(galleries(people, size), desc=f"{probes}, {size}", unit="gallery", disable=None)
        for enrolled, walking, strangers in made:
            index = streams.index(enrolled)
            grown = rules.for_size(index.templates)
            counted = counted or [
                StudyRow(probes, size, name, grown.thresholds) for name in ("single frame", "voted")
            ]
            for row, voted in zip(counted, (False, True), strict=True):
                answers = {
                    person.name: streams.play(person, index, grown, voted=voted)
                    for person in walking
                }
                row.subjects += len(answers)
                row.missed += sum(answer is None for answer in answers.values())
                row.wrong += sum(answer not in (None, name) for name, answer in answers.items())
                row.strangers += len(strangers)
                row.false += sum(
                    streams.play(person, index, grown, voted=voted) is not None
                    for person in strangers
                )
        rows += counted
    return rows


_INTRODUCTION = """\
# Single frames against voting

Measured by `mfsa-voting`. **Optimistic**: the streams are independent photos of a person, which
differ more than the frames of one walk-up, and the errors of an impostor's photos are independent
too. Both make voting look better.

"""
_COLUMNS = (
    "probes",
    "gallery",
    "thresholds",
    "policy",
    "false rejections",
    "false grants",
    "granted as another subject",
    "upper bound of the false rate (95 %)",
)


def format_report(rows: Sequence[StudyRow], model: str, rules: DecisionRules) -> str:
    """Return settings and counts as a Markdown page."""
    settings = format_table(("setting", "value"), _settings(model, rules))
    return f"{_INTRODUCTION}{settings}\n{format_table(_COLUMNS, map(_cells, rows))}"


def _settings(model: str, rules: DecisionRules) -> list[tuple[str, str]]:
    thresholds = rules.thresholds
    shown = f"unmasked {thresholds.unmasked:.3f}, masked {thresholds.masked:.3f}"
    if rules.scaling:
        supported = rules.scaling.supported_templates
        shown += f"; raised as the terminal does beyond {supported:,} templates"
    frames = f"{rules.min_votes} frames, or {rules.min_votes_masked} with a mask"
    return [
        ("model", model),
        ("thresholds", shown),
        ("single frame", "the first frame that matches grants access"),
        ("voted", f"{frames}, within {rules.window_s:g} s"),
        ("enrollment", f"{ENROLLED_PHOTOS} photos per person if available"),
        ("stream", f"{_FRAMES} frames"),
        ("masked templates", "each enrollment photo once more, with a drawn mask"),
    ]


def _cells(row: StudyRow) -> list[str]:
    return [
        row.probes,
        f"{row.gallery:,}",
        f"{row.thresholds.unmasked:.3f}, {row.thresholds.masked:.3f}",
        row.policy,
        f"{row.missed} of {row.subjects} ({row.missed / row.subjects:.0%})",
        f"{row.false} of {row.strangers}",
        f"{row.wrong} of {row.subjects}",
        f"{row.false_bound:.2%}",
    ]
