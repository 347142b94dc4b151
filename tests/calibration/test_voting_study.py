from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.voting import main
from calibration.voting_study import (
    PhotoStreams,
    StudyGroups,
    StudyRow,
    compare_policies,
    format_report,
    galleries,
    split_people,
)
from edge.access.thresholds import ThresholdScaling
from edge.values import Thresholds
from tests.builders import make_rules

RULES = make_rules(Thresholds(0.5, 0.5), min_votes_masked=3, window_s=1.5)


def outputs(rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "embedding": np.stack(rows).astype(np.float32),
        "mask_worn": np.zeros(len(rows), np.float32),
        "expected_similarity": np.ones(len(rows), np.float32),
    }


def test_people_are_split_into_groups() -> None:
    labels = np.array([0] * 5 + [1] * 5 + [2] * 4 + [3])
    found = split_people(labels, None, ["a", "b", "c", "d"])
    assert [p.name for p in found.subjects] == ["a"] and [p.name for p in found.strangers] == ["b"]
    assert [p.name for p in found.fillers] == ["c", "d"]
    assert found.subjects[0].enrolled == (0, 1) and found.subjects[0].stream == (2, 3, 4)
    worn = split_people(labels, np.array([2, 2, 2, 0, 0, 0]), ["a", "b", "c", "d"])
    assert [p.name for p in [*worn.subjects, *worn.strangers]] == ["a", "c"] and worn.strangers[
        0
    ].stream == (0, 1, 2)


def test_galleries_are_disjoint_and_filled() -> None:
    labels = np.repeat(np.arange(8), 5)
    people = split_people(np.append(labels, [8, 9]), None, list("abcdefghij"))
    pairs = list(galleries(people, 2))
    assert [[p.name for p in enrolled] for enrolled, _, _ in pairs] == [["a", "b"], ["c", "d"]]
    (filled,) = galleries(people, 6)
    assert [p.name for p in filled[0]] == ["a", "b", "c", "d", "i", "j"] and len(filled[1]) == len(
        filled[2]
    ) == 4
    assert list(galleries(people, 7)) == []


def test_vote_refuses_stranger_with_one_match() -> None:
    ada, eve = np.eye(2, 4)
    rows = [ada] * 5 + [eve, eve, ada, eve, eve, eve]
    bare = outputs(rows)
    people = split_people(np.array([0] * 5 + [1] * 6), None, ["ada", "eve"])
    gallery = StudyGroups(people.subjects, people.strangers, people.fillers)
    single, voted = compare_policies(PhotoStreams([bare], bare), gallery, RULES, "bare", [1])
    assert (single.missed, single.false, voted.missed, voted.false) == (0, 1, 0, 0)
    assert single.false_bound > voted.false_bound > 0


def test_thresholds_follow_gallery_size() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((10, 64))
    bare = outputs([row / np.linalg.norm(row) for row in rows])
    people = split_people(np.array([0] * 5 + [1] * 5), None, ["ada", "eve"])
    rules = replace(
        RULES,
        scaling=ThresholdScaling(
            RULES.thresholds, supported_templates=1, score_per_decade=0.1, fmr=1e-3
        ),
    )
    plain = compare_policies(PhotoStreams([bare], bare), people, rules, "bare", [1])
    more = compare_policies(
        PhotoStreams([bare, bare], bare), people, rules, "bare, masked templates", [1]
    )
    assert [row.thresholds.unmasked for row in plain] == pytest.approx(
        [0.5 + 0.1 * np.log10(2)] * 2
    )
    assert [row.thresholds.unmasked for row in more] == pytest.approx([0.5 + 0.1 * np.log10(4)] * 2)
    report = format_report(plain, "tiny", rules)
    assert "beyond 1 templates" in report and "| 0.530, 0.530 |" in report


def test_bound_is_one_if_all_false() -> None:
    assert StudyRow("bare", 10, "voted", RULES.thresholds, 1, 0, 1, 1, 1).false_bound == 1.0
    assert StudyRow(
        "bare", 10, "voted", RULES.thresholds, 300, 0, 0, 0, 0
    ).false_bound == pytest.approx(0.00994, abs=1e-4)


def test_voting_refuses_too_few_people(
    bundle_path: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "voting.md"
    command = ["--bundle", str(bundle_path), "--chips", str(people), "--all-identities"]
    assert main([*command, "--galleries", "2", "--markdown", str(report)]) == 2
    assert "found too few" in capsys.readouterr().err and not report.exists()
    assert main([*command, "--galleries", "1"]) == 2
    assert "--galleries" in capsys.readouterr().err
