"""Minimum of the expected similarity."""

from __future__ import annotations

import numpy as np

from calibration.hidden_faces import HiddenProbes, least_similarity
from calibration.scores import LabelledEmbeddings

PEOPLE = np.eye(4, 8, dtype=np.float32)


def probes(labels: list[int], similarity: list[float]) -> HiddenProbes:
    """Return probes that look like person `i` in row `i`, of people with these labels."""
    bare = LabelledEmbeddings(PEOPLE, np.arange(4))
    shown = LabelledEmbeddings(PEOPLE[: len(labels)], np.array(labels))
    return HiddenProbes("some", shown, bare, np.array(similarity, np.float32), False)


def test_least_similarity_passes_matching_probes() -> None:
    drawn = probes([0, 1, 2], [0.678, 0.9, 0.8])
    assert least_similarity([drawn], 0.5) == 0.67
    assert drawn.describe(0.5, 0.67) == "some: 0.0% of 3 that match, none of 0 others"


def test_least_similarity_is_of_the_lowest_kind() -> None:
    drawn, real = probes([0, 1], [0.6, 0.7]), probes([0, 1], [0.129, 0.5])
    assert least_similarity([drawn, real], 0.5) == 0.12


def test_least_similarity_ignores_missed_probes() -> None:
    mixed = probes([0, 3], [0.5, 0.1])  # the second looks like another person
    assert least_similarity([mixed], 0.5) == 0.5
    assert mixed.describe(0.5, 0.5) == "some: 0.0% of 1 that match, 100.0% of 1 others"


def test_least_similarity_without_a_match_is_zero() -> None:
    assert least_similarity([probes([0], [0.9]), probes([3], [0.9])], 0.5) == 0.0


def test_matches_do_not_count_the_same_picture() -> None:
    bare = LabelledEmbeddings(PEOPLE, np.arange(4))
    same = HiddenProbes("some", bare, bare, np.ones(4, np.float32), True)
    assert not same.matches(0.5).any()
