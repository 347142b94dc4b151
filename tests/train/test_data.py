from __future__ import annotations

import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.chips import is_validation_identity, validation_chips
from edge import masks
from edge.errors import ConfigError
from train.data import AugmentedChips, ChipSet, EpochSampler, load_chips
from train.loss import UNLABELLED
from train.recipe import DataRecipe, DrawRecipe


def section(**changes: object) -> DataRecipe:
    return DataRecipe.model_validate({"sources": ["people"], **changes})


def drawn(**changes: object) -> DrawRecipe:
    return DrawRecipe.model_validate({"mask_probability": 0, "occluder_probability": 0, **changes})


def load(faces: Path, **changes: object) -> ChipSet:
    return load_chips(faces, section(**changes), 32, faces / "teacher.npz")[0]


def test_real_mask_has_no_target_and_no_label(faces: Path) -> None:
    chips = load(faces)
    assert len(chips) == 8 and chips.identities == 2
    real = [item for item in chips.items if item.real_mask]
    assert len(real) == 2
    assert all(item.target_row == -1 and item.label == UNLABELLED for item in real)
    bare = [item for item in chips.items if not item.real_mask]
    assert all(item.target_row >= 0 and item.label >= 0 for item in bare)


def test_teacher_bank_has_bare_pictures_only(faces: Path) -> None:
    chips = load(faces)
    bank, rows = chips.teacher_bank(), chips.bank_rows()
    assert len(bank.embeddings) == 6 and sorted(bank.label.tolist()) == [0, 0, 0, 1, 1, 1]
    for item in chips.items:
        if item.target_row >= 0:
            row = rows[item.target_row]
            assert np.array_equal(bank.embeddings[row], chips.targets[item.target_row])
            assert bank.label[row] == item.label
    view = AugmentedChips(chips, drawn(), seed=0).__getitems__([(0, i) for i in range(8)])
    for item, row in zip(chips.items, view.bank_row.tolist(), strict=True):
        assert row == (-1 if item.target_row < 0 else rows[item.target_row])


def test_a_tar_is_as_good_as_a_folder(faces: Path) -> None:
    with tarfile.open(faces / "people.tar", "w") as tar:
        for person in ("collins", "hopper"):
            tar.add(faces / "people" / person, person)
    from_tar = load(faces, sources=["people.tar"])
    from_folder = load(faces)
    assert [(i.name, i.label, i.encoded) for i in from_tar.items] == [
        (i.name, i.label, i.encoded) for i in from_folder.items
    ]


def test_validation_identities_are_not_trained(tmp_path: Path, faces: Path) -> None:
    kept = next(f"p{i}" for i in range(1000) if is_validation_identity(f"p{i}"))
    (faces / "people" / "hopper").rename(faces / "people" / kept)
    train, held_out = load_chips(faces, section(), 32, None)
    assert held_out is not None
    assert {i.name.split("/")[1] for i in train.items} == {"collins"}
    assert {i.name.split("/")[1] for i in held_out.items} == {kept}


def test_person_is_kept_apart_in_all_sources(faces: Path) -> None:
    kept = next(f"p{i}" for i in range(1000) if is_validation_identity(f"p{i}"))
    (faces / "people" / "hopper").rename(faces / "people" / kept)
    (faces / "more" / kept).mkdir(parents=True)
    (faces / "more" / kept / "u_7.jpg").write_bytes(
        (faces / "people" / kept / "u_0.jpg").read_bytes()
    )
    (faces / "more" / "someone").mkdir()
    (faces / "more" / "someone" / "u_0.jpg").write_bytes(
        (faces / "people" / kept / "u_0.jpg").read_bytes()
    )
    rules = section(sources=["people", "more"], split=["people"])
    train = load_chips(faces, rules, 32, None)[0]
    assert {i.name.split("/")[1] for i in train.items} == {"collins", "someone"}


def test_a_misspelt_source_is_refused() -> None:
    with pytest.raises(ValueError, match="must name sources, found peopel"):
        section(split=["peopel"])


def test_the_split_never_moves() -> None:
    assert [i for i in range(60) if is_validation_identity(f"{i:05d}")] == [7, 21, 46]


def test_same_name_in_sources_is_one_person(faces: Path) -> None:
    copy = faces / "again"
    (copy / "collins").mkdir(parents=True)
    data = (faces / "people" / "collins" / "u_0.jpg").read_bytes()
    (copy / "collins" / "u_0.jpg").write_bytes(data)
    (copy / "collins" / "u_9.jpg").write_bytes(data)
    both = validation_chips([faces / "people", copy], all_identities=True)
    assert both.people == 2 and len(both) == 7


def test_unlabelled_sources_have_no_identities(faces: Path) -> None:
    chips = load(faces, unlabelled=["people"])
    assert chips.identities == 0 and {i.label for i in chips.items} == {UNLABELLED}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"sources": ["none.tar"]}, "found neither"),
        ({"sources": ["empty"]}, "no chips to train on"),
    ],
)
def test_missing_data_is_named(faces: Path, changes: dict[str, object], part: str) -> None:
    (faces / "empty").mkdir()
    with pytest.raises(ConfigError, match=part):
        load(faces, **changes)


def test_missing_teacher_is_named(faces: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.npz: expected an \.npz"):
        load_chips(faces, section(), 32, faces / "none.npz")


def test_a_teacher_of_other_pictures_is_refused(faces: Path) -> None:
    with np.load(faces / "teacher.npz") as archive:
        names, embeddings = archive["names"], archive["embeddings"]
    np.savez(
        faces / "teacher.npz",
        names=np.array([f"other/{name}" for name in names]),
        embeddings=embeddings,
    )
    with pytest.raises(
        ConfigError,
        match=r"none of its names is a chip; expected .* such as people/collins/m_0\.jpg",
    ):
        load(faces)
    np.savez(faces / "teacher.npz", names=names, embeddings=np.zeros_like(embeddings))
    with pytest.raises(ConfigError, match="zero or not finite"):
        load(faces)


def test_a_teacher_of_another_size_is_refused(faces: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected embeddings \(8, 64\), found \(8, 32\)"):
        load_chips(faces, section(), 64, faces / "teacher.npz")


def test_unreadable_picture_is_replaced(faces: Path) -> None:
    (faces / "people" / "collins" / "u_0.jpg").write_bytes(b"junk")
    chips = load(faces)
    position = next(
        i for i, item in enumerate(chips.items) if item.name.endswith("collins/u_0.jpg")
    )
    batch = AugmentedChips(chips, drawn(), seed=0).__getitems__([(0, position), (0, position + 1)])
    assert (
        len(batch.skipped) == 1
        and "people/collins/u_0.jpg: expected an aligned chip" in batch.skipped[0]
    )
    assert torch.equal(batch.chips[0], batch.chips[1])


def test_unreadable_data_ends_run(faces: Path) -> None:
    for picture in (faces / "people").glob("*/*.jpg"):
        picture.write_bytes(b"junk")
    with pytest.raises(ConfigError, match="none of 8 pictures can be read: people/collins/m_0"):
        AugmentedChips(load(faces), drawn(), seed=0).__getitems__([(0, 0)])


def test_occluders_are_drawn_without_mask(faces: Path) -> None:
    chips = load(faces)
    batch = AugmentedChips(
        chips, drawn(mask_probability=0.3, occluder_probability=0.5), seed=0
    ).__getitems__([(e, 1) for e in range(300)])
    assert 0.2 < batch.covered.mean().item() < 0.4 and not (batch.covered * batch.mask_worn).any()
    real = next(i for i, item in enumerate(chips.items) if item.real_mask)
    worn = AugmentedChips(chips, drawn(occluder_probability=1), seed=0).__getitems__(
        [(e, real) for e in range(20)]
    )
    assert worn.mask_worn.all() and not worn.covered.any()


def test_mask_and_occluder_on_one_chip(faces: Path) -> None:
    both = drawn(mask_probability=1, both_probability=1, families=["kn95"])
    batch = AugmentedChips(load(faces), both, seed=0).__getitems__([(e, 1) for e in range(30)])
    assert batch.mask_worn.all() and batch.covered.any()


def test_border_is_filled_with_one_level(faces: Path) -> None:
    def flat_sides(**changes: object) -> int:
        views = AugmentedChips(load(faces), drawn(**changes), seed=0)
        chips = views.__getitems__([(e, 1) for e in range(40)]).chips
        sides = (chips[:, :, :3], chips[:, :, -3:], chips[..., :3], chips[..., -3:])
        return sum(int((side.flatten(1).std(dim=1) < 0.02).sum()) for side in sides)

    assert flat_sides() < 5 and flat_sides(border_probability=1) > 15


def test_a_mask_under_the_chin_is_not_worn(faces: Path) -> None:
    chips = load(faces)
    assert (
        not AugmentedChips(chips, drawn(mask_probability=1, families=["chin"]), seed=0)
        .__getitems__([(e, 1) for e in range(9)])
        .mask_worn.any()
    )


def test_views_are_keyed_by_seed_epoch_and_index(faces: Path) -> None:
    chips = load(faces)
    keys = [(0, 0), (0, 1), (3, 2)]
    first, again = (
        AugmentedChips(chips, drawn(mask_probability=0.5), seed=1).__getitems__(keys)
        for _ in range(2)
    )
    assert torch.equal(first.chips, again.chips) and torch.equal(first.mask_worn, again.mask_worn)
    other_epoch = AugmentedChips(chips, drawn(mask_probability=0.5), seed=1).__getitems__(
        [(1, 0), (1, 1), (4, 2)]
    )
    other_seed = AugmentedChips(chips, drawn(mask_probability=0.5), seed=2).__getitems__(keys)
    assert not torch.equal(first.chips, other_epoch.chips) and not torch.equal(
        first.chips, other_seed.chips
    )


def test_masks_are_drawn_as_often_as_asked(faces: Path) -> None:
    chips = load(faces)
    worn = (
        AugmentedChips(chips, drawn(mask_probability=0.4, families=masks.PROTOCOL_FAMILIES), seed=0)
        .__getitems__([(e, 1) for e in range(300)])
        .mask_worn
    )
    assert 0.3 < worn.mean().item() < 0.5
    real = next(i for i, item in enumerate(chips.items) if item.real_mask)
    assert AugmentedChips(chips, drawn(), seed=0).__getitems__([(0, real)]).mask_worn.item() == 1


def test_processes_share_and_resume_epoch() -> None:
    epochs = list(islice(EpochSampler(10, seed=3, rank=0, world=1), 25))
    assert sorted(position for epoch, position in epochs if epoch == 0) == list(range(10))
    halves = [list(islice(EpochSampler(10, seed=3, rank=r, world=2), 12)) for r in range(2)]
    assert [key for pair in zip(*halves, strict=True) for key in pair] == epochs[:24]
    assert list(islice(EpochSampler(10, seed=3, rank=0, world=1, start=14), 11)) == epochs[14:]
