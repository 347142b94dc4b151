"""Pairs drawn from folders of people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.chips import ChipFolder
from calibration.evaluation.drawn_pairs import draw_pairs, write_pairs
from calibration.evaluation.pair_sets import PairSet, read_list
from edge.errors import ConfigError


def folder_of(*photos: int, name: str = "photo {image}") -> ChipFolder:
    """Return chips of people with these numbers of photos; the bytes are the names."""
    names = [
        f"person {person}/{name.format(image=image)}.png"
        for person, count in enumerate(photos)
        for image in range(count)
    ]
    labels = np.repeat(np.arange(len(photos)), photos)
    people = {f"person {person}": person for person in range(len(photos))}
    return ChipFolder(tuple(names), tuple(name.encode() for name in names), labels, people)


def pairs_of(drawn: PairSet) -> list[tuple[str, str]]:
    return [
        (drawn.names[a], drawn.names[b]) for a, b in zip(drawn.first, drawn.second, strict=True)
    ]


@pytest.mark.parametrize(
    ("photos", "folds"), [((8,) * 200, 10), ((8,) * 18, 6), ((1,) * 60 + (3,) * 60, 10)]
)
def test_drawn_folds_share_no_person(photos: tuple[int, ...], folds: int) -> None:
    drawn = draw_pairs(folder_of(*photos), "people", 0)
    assert drawn.folds == folds
    assert len(drawn.mated) % folds == 0
    seen: set[int] = set()
    for part in np.array_split(np.arange(len(drawn.mated)), folds):
        people = {int(drawn.people[row]) for i in part for row in (drawn.first[i], drawn.second[i])}
        assert not people & seen
        seen |= people
        assert drawn.mated[part].sum() == drawn.mated.sum() / folds
    assert (~drawn.mated).sum() >= 1000
    same = [one.split("/")[0] == other.split("/")[0] for one, other in pairs_of(drawn)]
    assert same == drawn.mated.tolist()


def test_drawn_pairs_are_distinct_and_balanced() -> None:
    drawn = draw_pairs(folder_of(*(8,) * 200), "people", 0)
    assert drawn.mated.sum() == (~drawn.mated).sum() == 3000
    assert len({frozenset(pair) for pair in pairs_of(drawn)}) == 6000


def test_drawn_pairs_depend_on_the_seed_alone() -> None:
    folder = folder_of(*(4,) * 100)
    assert pairs_of(draw_pairs(folder, "a", 1)) == pairs_of(draw_pairs(folder, "b", 1))
    assert pairs_of(draw_pairs(folder, "a", 1)) != pairs_of(draw_pairs(folder, "a", 2))


@pytest.mark.parametrize("photos", [(3,), (1,) * 200, (5, 5), (2,) * 10])
def test_drawn_pairs_of_too_few_are_refused(photos: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=f"{len(photos)} people do not make 1,000 pairs"):
        draw_pairs(folder_of(*photos), "people", 0)


def test_written_pairs_are_read_again(tmp_path: Path) -> None:
    folder = folder_of(*(4,) * 100)
    for name, data in zip(folder.names, folder.encoded, strict=True):
        path = tmp_path / "chips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    drawn = draw_pairs(folder, "people", 0)
    write_pairs(drawn, tmp_path / "pairs.txt")
    again = read_list(tmp_path / "pairs.txt", tmp_path / "chips")
    assert pairs_of(again) == pairs_of(drawn)
    assert again.mated.tolist() == drawn.mated.tolist()
    assert again.folds == drawn.folds
    encoded = [drawn.encoded[row] for row in drawn.first]
    assert [again.encoded[row] for row in again.first] == encoded


def test_pairs_with_tab_in_a_name_are_not_written(tmp_path: Path) -> None:
    drawn = draw_pairs(folder_of(*(4,) * 100, name="a\tb {image}"), "people", 0)
    with pytest.raises(ConfigError, match="control characters; rename the file"):
        write_pairs(drawn, tmp_path / "pairs.txt")
