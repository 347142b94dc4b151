"""Index against brute force, in float32 and in bfloat16."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.errors import GalleryError
from edge.gallery import bf16_index
from edge.gallery.bf16_index import BLOCK, Bf16Index
from edge.gallery.search import Index
from edge.values import Match

DIMENSION = 16
Rows = np.ndarray
NEVER = 1 << 60
KINDS = ("scattered", "near", "duplicates", "spikes", "coarse")


def unit(rows: Rows) -> Rows:
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def draw(
    rng: np.random.Generator, count: int, kind: str = "scattered", dimension: int = DIMENSION
) -> Rows:
    """Draw rows that are easy or hard to distinguish after rounding."""
    rows = rng.standard_normal((count, dimension))
    if kind == "near":
        rows = rng.standard_normal(dimension) + 10.0 ** rng.uniform(-7, -1) * rows
    elif kind == "duplicates":
        rows = rows[rng.integers(0, max(1, count // 3), count)]
    elif kind == "spikes":
        rows = np.eye(dimension)[rng.integers(0, dimension, count)] + 1e-3 * rows
    elif kind == "coarse":  # halfway between two bfloat16 numbers
        rows = np.round(rows * 64) / 64 + np.sign(rows) * 2.0**-9
    return unit(rows)


def brute(templates: Mapping[int, tuple[str, Rows]], query: Rows) -> Match | None:
    """Return the match by definition: each subject's best product, summed in float64."""
    best = {
        owner: max(float(np.dot(row.astype(np.float64), query.astype(np.float64))) for row in rows)
        for owner, (_, rows) in templates.items()
        if len(rows)
    }
    ranked = sorted(best, key=lambda owner: (-best[owner], owner))
    if not ranked:
        return None
    return Match(
        templates[ranked[0]][0],
        best[ranked[0]],
        max(best[ranked[1]], -1.0) if len(ranked) > 1 else -1.0,
    )


def is_as(found: Match | None, known: Mapping[int, tuple[str, Rows]], query: Rows) -> bool:
    """Return True for the match of brute force, or one that is equal within rounding."""
    wanted = brute(known, query)
    if found is None or wanted is None:
        return found is wanted
    rounding = 2 * len(query) * 2.0**-24 * float(np.linalg.norm(query))
    own = brute({owner: one for owner, one in known.items() if one[0] == found.subject}, query)
    others = brute({owner: one for owner, one in known.items() if one[0] != found.subject}, query)
    return (
        own is not None
        and own.score >= wanted.score - rounding
        and abs(found.score - own.score) <= rounding
        and abs(found.runner_up - (max(others.score, -1.0) if others else -1.0)) <= rounding
    )


def people(rows: Rows, owners: Rows) -> dict[int, tuple[str, Rows]]:
    return {int(owner): (f"p{owner}", rows[owners == owner]) for owner in np.unique(owners)}


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    subjects=st.integers(1, 12),
    kind=st.sampled_from(KINDS),
    bf16_from=st.sampled_from((0, NEVER)),
    norm=st.sampled_from((1.0, 1.0, 0.3, 4.0)),
)
def test_index_equals_brute_force(
    seed: int, count: int, subjects: int, kind: str, bf16_from: int, norm: float
) -> None:
    rng = np.random.default_rng(seed)
    known = people(draw(rng, count, kind), rng.integers(0, subjects, count))
    index = Index(bf16_from=bf16_from)
    assert index.update(known) == []
    rows = np.concatenate([rows for _, rows in known.values()])
    queries = [
        draw(rng, 1)[0],
        rows[0],
        unit(rows[-1] + 0.01 * rng.standard_normal(DIMENSION)),
        draw(rng, 1, kind)[0],
    ]
    probes = np.float32(norm) * np.stack(queries)
    for probe, match in zip(probes, index.search_all(probes), strict=True):
        assert is_as(match, known, probe) and is_as(index.search(probe), known, probe)


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    bf16_from=st.sampled_from((0, NEVER)),
)
def test_best_other_leaves_out_one_subject(seed: int, kind: str, bf16_from: int) -> None:
    rng = np.random.default_rng(seed)
    known = people(draw(rng, 30, kind), rng.integers(0, 5, 30))
    index = Index(bf16_from=bf16_from)
    index.update(known)
    probe = draw(rng, 1, kind)[0]
    for owner, (name, _) in known.items():
        others = brute({other: one for other, one in known.items() if other != owner}, probe)
        score, other = index.best_other(probe, name)
        if others is None:
            assert (score, other) == (-1.0, None)
        else:
            assert other != name and score == pytest.approx(others.score, abs=1e-6)


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    dimension=st.sampled_from((2, 16, 256, 512)),
)
def test_bf16_scores_stay_within_bound(seed: int, kind: str, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    rows, probes = (
        draw(rng, 50, kind, dimension),
        np.float32(rng.uniform(0.2, 3)) * draw(rng, 3, kind, dimension),
    )
    packed = Bf16Index()
    packed.update(rows, ())
    wrong = np.abs(packed.scores(probes) - probes.astype(np.float64) @ rows.astype(np.float64).T)
    assert (
        wrong
        <= [
            [bf16_index.score_error_bound(dimension, float(np.linalg.norm(probe)))]
            for probe in probes
        ]
    ).all()


def test_rescore_uses_bound_for_both_subjects() -> None:
    """The worse row is rounded up, the better one down: the runner-up scores far too low."""
    probe, one, better = np.zeros((3, DIMENSION), np.float32)
    in_probe, in_row, little = (
        181 / 512 + 2.0**-10,
        0.5 + 2.0**-9,
        1e-6,
    )  # halfway between two numbers of bfloat16
    probe[:3], probe[3:6], probe[7] = in_probe + little, in_probe - little, 1e-4
    one[:3], better[3:6] = in_row + little, in_row - little
    one[6] = better[7] = np.sqrt(1 - 3 * in_row**2)
    best = unit(probe)
    known = {owner: (f"p{owner}", row[None]) for owner, row in enumerate((one, better, best))}
    index = Index(bf16_from=0)
    index.update(known)
    assert is_as(index.search(probe), known, probe)


def test_bf16_rounds_to_nearest() -> None:
    import numkong

    bits = np.random.default_rng(0).integers(0x3000_0000, 0x3F80_0000, 100_000, np.uint32)
    for numbers in (bits.view(np.float32), -bits.view(np.float32)):
        rounded = np.asarray(numkong.astype(numkong.astype(numbers, "bf16"), "float32"))
        assert (np.abs(rounded - numbers) <= np.abs(numbers) * np.float32(2.0**-8)).all()
        assert not np.array_equal(rounded, numbers)


@pytest.mark.parametrize("bf16_from", [0, NEVER])
def test_subject_with_many_templates_is_found(bf16_from: int) -> None:
    rng = np.random.default_rng(0)
    own, other = (
        unit(np.eye(1, DIMENSION)[0] + 0.001 * rng.standard_normal((2000, DIMENSION))),
        draw(rng, 1),
    )
    index = Index.from_templates(
        ["Ada"] * 2000 + ["Eve"], np.concatenate([own, other]), bf16_from=bf16_from
    )
    match = index.search(own[7])
    assert (
        match is not None
        and match.subject == "Ada"
        and is_as(match, {0: ("Ada", own), 1: ("Eve", other)}, own[7])
    )


def test_equal_faces_have_equal_scores() -> None:
    face = draw(np.random.default_rng(0), 1)
    for bf16_from in (0, NEVER):
        match = Index.from_templates(
            ["Ada", "Eve"], np.concatenate([face, face]), bf16_from=bf16_from
        ).search(face[0])
        assert match is not None and match.score == match.runner_up == pytest.approx(1.0)


def test_rows_equal_after_rounding_are_searched() -> None:
    rows = draw(np.random.default_rng(0), 9000, "near")
    known = people(rows, np.arange(9000) // 2)
    index = Index()
    index.update(known)
    for probe in (rows[0], rows[8999], draw(np.random.default_rng(1), 1)[0]):
        assert is_as(index.search(probe), known, probe)


def test_index_empty_returns_none() -> None:
    index = Index.from_templates([], np.zeros((0, 0), np.float32))
    assert index.search(np.ones(8, np.float32)) is None and index.search_all(
        np.ones((2, 8), np.float32)
    ) == [None, None]
    assert index.best_other(np.ones(8, np.float32), "Ada") == (-1.0, None)
    assert (index.templates, index.subjects) == (0, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (np.full((1, DIMENSION), np.nan), "unit length"),
        (np.full((1, DIMENSION), np.inf), "unit length"),
        (np.full((1, DIMENSION), 3e38), "unit length"),
        (np.zeros((1, DIMENSION)), "unit length"),
        (1.01 * np.eye(1, DIMENSION), "unit length"),
        (np.eye(1, DIMENSION + 1), "expected 16"),
        (np.eye(1, DIMENSION)[0], "expected 16"),
    ],
)
def test_add_invalid_template_changes_nothing(row: Rows, message: str) -> None:
    face = draw(np.random.default_rng(0), 2)
    index = Index()
    index.add(1, "Ada", face)
    before = index.search(face[0])
    with pytest.raises(GalleryError, match=message) as raised:
        index.add(1, "Ada", row.astype(np.float32))
    # logged by the recogniser: numbers, no names
    assert "subject 1 " in str(raised.value) and "Ada" not in str(raised.value)
    assert index.search(face[0]) == before and index.templates == 2


@pytest.mark.parametrize("bf16_from", [0, NEVER])
def test_search_probe_not_finite_raises(bf16_from: int) -> None:
    index = Index(bf16_from=bf16_from)
    index.add(1, "Ada", draw(np.random.default_rng(0), 3))
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"), np.errstate(all="ignore"):
            index.search(np.full(DIMENSION, wrong, np.float32))


def test_index_of_several_blocks_is_updated() -> None:
    """Rows at the end move into gaps of the first block."""
    rng = np.random.default_rng(0)
    count = 2 * BLOCK + 100
    rows, owners = draw(rng, count), np.arange(count) // 3
    known = people(rows, owners)
    index = Index()
    index.update(known)
    for owner in (0, 5, count // 3 - 1, 1400, 2000):
        index.update({owner: None})
        del known[owner]
    for owner in (7, 1500, 10_000):
        known[owner] = (f"p{owner}", draw(rng, 4))
        index.add(owner, *known[owner])
    assert (index.templates, index.subjects) == (
        sum(len(rows) for _, rows in known.values()),
        len(known),
    )
    probes = np.concatenate([draw(rng, 20), known[7][1], known[10_000][1], rows[:3], rows[-3:]])
    assert all(
        is_as(match, known, probe)
        for match, probe in zip(index.search_all(probes), probes, strict=True)
    )
    while len(known) > 3:
        for owner in list(known)[: max(1, len(known) // 2)]:
            del known[owner]
            index.update({owner: None})
        assert is_as(index.search(probes[0]), known, probes[0])


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[Rows]:
    """Row buffers that an index allocates."""
    allocated: list[Rows] = []
    zeros = np.zeros

    def recording(*args: object, **more: object) -> Rows:
        allocated.append(zeros(*args, **more))  # type: ignore[call-overload]
        return allocated[-1]

    monkeypatch.setattr(np, "zeros", recording)
    return allocated


def test_index_growth_overwrites_old_rows(buffers: list[Rows]) -> None:
    index = Index()
    face = draw(np.random.default_rng(0), 3)
    index.add(1, "Ada", face)
    small = max(buffers, key=len)
    index.add(2, "crowd", draw(np.random.default_rng(1), len(small)))
    assert not small.any() and np.array_equal(index.templates_of(1), face)


@pytest.mark.skipif(
    bf16_index.build_bf16_index(DIMENSION) is None, reason="no kernel for this processor"
)
def test_bf16_source_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    numkong = pytest.importorskip("numkong")
    index, rounded, astype = Index(bf16_from=1), list[object](), numkong.astype

    def rounding(rows: np.ndarray, to: str) -> object:
        rounded.append(astype(rows, to))
        return rounded[-1]

    rows = draw(np.random.default_rng(0), 3)
    index.add(1, "Ada", rows)
    monkeypatch.setattr(numkong, "astype", rounding)
    index.add(2, "Eve", draw(np.random.default_rng(1), 1))
    (given,) = rounded
    assert not np.asarray(memoryview(given)).any()
    match = index.search(rows[0])
    assert (
        match is not None and match.subject == "Ada" and match.score == pytest.approx(1, abs=1e-6)
    )


def test_index_removed_rows_are_overwritten(buffers: list[Rows]) -> None:
    face = draw(np.random.default_rng(0), 3)
    index = Index()
    index.add(1, "Ada", face)
    index.add(2, "Eve", draw(np.random.default_rng(1), 2))
    assert any(face[0].tobytes() in buffer.tobytes() for buffer in buffers)
    index.update({1: None})
    assert not any(face[0].tobytes()[:16] in buffer.tobytes() for buffer in buffers)


class Enrolling(RuleBasedStateMachine):
    """Index with random additions and removals, compared with a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.indices = [Index(bf16_from=0), Index(bf16_from=NEVER), Index(bf16_from=20)]
        self.known: dict[int, tuple[str, Rows]] = {}

    @rule(
        owner=st.integers(0, 9),
        seed=st.integers(0, 999),
        count=st.integers(1, 9),
        kind=st.sampled_from(KINDS),
    )
    def put(self, owner: int, seed: int, count: int, kind: str) -> None:
        self.known[owner] = f"p{owner}", draw(np.random.default_rng(seed), count, kind)
        for index in self.indices:
            index.add(owner, *self.known[owner])

    @rule(owner=st.integers(0, 9))
    def drop(self, owner: int) -> None:
        self.known.pop(owner, None)
        for index in self.indices:
            index.update({owner: None})

    @rule(seed=st.integers(0, 999), owners=st.sets(st.integers(0, 30), max_size=30))
    def put_many(self, seed: int, owners: set[int]) -> None:
        rng = np.random.default_rng(seed)
        new = {owner: (f"p{owner}", draw(rng, int(rng.integers(0, 20)) or 1)) for owner in owners}
        self.known.update(new)
        for index in self.indices:
            index.update(new)

    @precondition(lambda self: self.known)
    @rule(seed=st.integers(0, 999))
    def search(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        _, rows = list(self.known.values())[seed % len(self.known)]
        for probe in (draw(rng, 1)[0], rows[seed % len(rows)]):
            for index in self.indices:
                assert is_as(index.search(probe), self.known, probe)

    @invariant()
    def counts(self) -> None:
        for index in self.indices:
            assert index.subjects == len(self.known)
            assert index.templates == sum(len(rows) for _, rows in self.known.values())


TestEnrolling = Enrolling.TestCase
TestEnrolling.settings = settings(max_examples=40, stateful_step_count=20)


class WrongKernel(Bf16Index):
    """Kernel whose products are wrong."""

    def scores(self, queries: Rows) -> Rows:
        return super().scores(queries) + np.float32(0.1)


def test_bf16_kernel_missing_or_wrong_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bf16_index.build_bf16_index(DIMENSION) is not None
    monkeypatch.setattr("numkong.get_capabilities", lambda: {"serial": True, "neon": False})
    assert bf16_index.build_bf16_index(DIMENSION) is None
    monkeypatch.undo()
    monkeypatch.setattr(bf16_index, "Bf16Index", WrongKernel)
    assert bf16_index.build_bf16_index(DIMENSION) is None
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "numkong", None)
    assert bf16_index.build_bf16_index(DIMENSION) is None
    faces = draw(np.random.default_rng(0), 2)
    index = Index.from_templates(["Ada", "Eve"], faces, bf16_from=0)
    match = index.search(faces[1])
    assert match is not None and match.subject == "Eve"


def test_best_template_is_that_of_the_score() -> None:
    rows = draw(np.random.default_rng(3), 7)
    index = Index.from_templates(["Ada"] * 3 + ["Eve"] * 4, rows)
    query = draw(np.random.default_rng(4), 1)[0]
    template = index.best_template(query, "Eve")
    assert template is not None and template.base is None
    assert float(template @ query) == pytest.approx(float((rows[3:] @ query).max()), abs=1e-6)
    assert index.best_template(query, "Bob") is None
