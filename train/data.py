"""Chips and their targets: reading, the split by identity, and augmentation keyed by (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from calibration.chips import decode, has_real_mask, is_validation, read_chips
from edge import masks
from edge.chip import SIZE, to_input
from edge.errors import ConfigError
from train.loss import UNLABELLED, Batch
from train.recipe import DataSection


@dataclass(frozen=True)
class Item:
    """One encoded chip and what is known of it."""

    name: str  # <source>/<identity>/<image>
    encoded: bytes
    label: int
    target_row: int  # row of `ChipSet.targets`, -1 for none
    real_mask: bool


@dataclass(frozen=True)
class ChipSet:
    """All chips of a run, in memory as the JPEG bytes they are (about 5 kB each)."""

    items: tuple[Item, ...]
    targets: NDArray[np.float32]  # (rows, D) unit norm
    identities: int

    def __len__(self) -> int:
        return len(self.items)


def load_chips(root: Path, section: DataSection, *, validation: bool, embedding: int) -> ChipSet:
    """The chips of a recipe: the identities to train on, or with `validation` the ones kept apart.

    A folder name is one person in all sources together. Raises ConfigError where a source is missing or the teacher's
    embeddings have another size than the network's.
    """
    rows, teacher = _load_teacher(root, section.teacher, embedding)
    labels: dict[str, int] = {}
    read = [(source, name, encoded) for source in section.sources for name, encoded in read_chips(root / source)]
    kept = {i for s, name, _ in read if section.keeps_apart(s) and is_validation(i := name.split("/")[0])}
    found: list[tuple[str, str, bytes]] = []
    for source, name, encoded in read:
        person_kept = source not in section.unlabelled and name.split("/")[0] in kept
        wanted = person_kept and section.keeps_apart(source) if validation else not person_kept
        if wanted:
            found.append((Path(source).stem, name, encoded))
    clean_means = _masked_targets([f"{source}/{name}" for source, name, _ in found], rows, teacher)
    targets = np.vstack([teacher, *(mean for _, mean in clean_means.values())]) if clean_means else teacher
    mean_row = {key: len(teacher) + i for i, key in enumerate(clean_means)}
    unlabelled = {Path(source).stem for source in section.unlabelled}
    items = []
    for source, name, encoded in found:
        person = f"{source}/{name.split('/')[0]}"
        real_mask = has_real_mask(name)
        row = mean_row.get(person, -1) if real_mask else rows.get(f"{source}/{name}", -1)
        label = UNLABELLED if source in unlabelled else labels.setdefault(name.split("/")[0], len(labels))
        items.append(Item(f"{source}/{name}", encoded, label, row, real_mask))
    if not items:
        raise ConfigError(f"{root}: no chips in {', '.join(section.sources)} for {'validation' if validation else 'training'}")
    return ChipSet(tuple(items), targets, len(labels))


def _load_teacher(root: Path, name: str | None, embedding: int) -> tuple[dict[str, int], NDArray[np.float32]]:
    if name is None:
        return {}, np.zeros((0, embedding), np.float32)
    try:
        with np.load(root / name, allow_pickle=False) as archive:
            names, embeddings = archive["names"], archive["embeddings"].astype(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{root / name}: expected an .npz with `names` and `embeddings`: {error}") from error
    if embeddings.ndim != 2 or embeddings.shape[1] != embedding or len(names) != len(embeddings):
        raise ConfigError(f"{root / name}: expected embeddings ({len(names)}, {embedding}), found {embeddings.shape}")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return {str(n): i for i, n in enumerate(names)}, embeddings


def _masked_targets(
    names: list[str], rows: dict[str, int], teacher: NDArray[np.float32]
) -> dict[str, tuple[int, NDArray[np.float32]]]:
    """For people photographed with a real mask: the mean teacher embedding of their photos without one.

    The teacher's own embedding of a masked photo would teach the student the teacher's weakness.
    """
    clean: dict[str, list[int]] = {}
    masked: set[str] = set()
    for name in names:
        person, image = name.rsplit("/", 1)
        if has_real_mask(image):
            masked.add(person)
        elif name in rows:
            clean.setdefault(person, []).append(rows[name])
    means = {}
    for person in sorted(masked & clean.keys()):
        mean = teacher[clean[person]].mean(axis=0)
        means[person] = (len(clean[person]), (mean / np.linalg.norm(mean)).astype(np.float32))
    return means


class Views(Dataset[int]):
    """Augmented views; item i of epoch e is the same in every process and on every machine with this seed.

    An index is (epoch, position); a batch of them comes back as one `Batch`.
    """

    def __init__(self, chips: ChipSet, mask_probability: float, seed: int, *, augment: bool = True) -> None:
        self.chips = chips
        self.mask_probability = mask_probability
        self.seed = seed
        self.augment = augment

    def __len__(self) -> int:
        return len(self.chips)

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        views, worn = zip(*(self._view(epoch, position) for epoch, position in keys), strict=True)
        items = [self.chips.items[position] for _, position in keys]
        dim = self.chips.targets.shape[1]
        target = [self.chips.targets[i.target_row] if i.target_row >= 0 else np.zeros(dim, np.float32) for i in items]
        return Batch(
            chips=torch.from_numpy(to_input(np.stack(views))),
            target=torch.from_numpy(np.stack(target)),
            label=torch.tensor([i.label for i in items]),
            mask_worn=torch.tensor(worn, dtype=torch.float32),
        )

    def _view(self, epoch: int, position: int) -> tuple[NDArray[np.uint8], bool]:
        item = self.chips.items[position]
        rng = np.random.default_rng((self.seed, epoch, position))
        chip = decode(item.encoded, item.name)
        worn = item.real_mask
        if not worn and rng.random() < self.mask_probability:
            chip, _ = masks.draw(chip, masks.random_style(rng))
            worn = True
        return (augment(chip, rng) if self.augment else chip), worn


def collate(batch: Batch) -> Batch:
    """`Views` builds whole batches itself."""
    return batch


def quiet_worker(_: int) -> None:
    """One thread per loading process; OpenCV would start one per core in each."""
    cv2.setNumThreads(0)


def augment(chip: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What cameras and landmark errors do to a chip: jitter of the alignment, light, colour, blur, low resolution, noise."""
    if rng.random() < 0.5:
        chip = chip[:, ::-1]
    angle, scale = rng.normal(0, 3.0), 1 + rng.normal(0, 0.04)
    transform = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle, scale)
    transform[:, 2] += rng.normal(0, 1.6, 2)
    chip = cv2.warpAffine(chip, transform, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.25:
        small = int(rng.integers(28, 80))
        chip = cv2.resize(cv2.resize(chip, (small, small), interpolation=cv2.INTER_AREA), (SIZE, SIZE))
    elif rng.random() < 0.15:
        chip = cv2.GaussianBlur(chip, (0, 0), float(rng.uniform(0.5, 1.6)))
    if rng.random() < 0.1:
        chip = cv2.cvtColor(cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    levels = np.arange(256, dtype=np.float32) / 255
    gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.15))
    curve = np.clip(255 * gain * levels[:, None] ** gamma * np.exp(rng.normal(0, 0.05, 3)), 0, 255).astype(np.uint8)
    chip = cv2.LUT(np.ascontiguousarray(chip), np.ascontiguousarray(curve[None]))
    if rng.random() < 0.15:
        chip = _occlude(chip, rng)
    return np.asarray(chip, dtype=np.uint8)


def _occlude(chip: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A rotated box of one colour anywhere: hands, phones, hair, the edge of a door."""
    box = ((float(rng.uniform(0, SIZE)), float(rng.uniform(0, SIZE))), tuple(rng.uniform(12, 48, 2)), float(rng.uniform(0, 180)))
    corners = np.round(cv2.boxPoints(box)).astype(np.int32)  # type: ignore[arg-type]
    shown = chip.copy()
    cv2.fillConvexPoly(shown, corners, tuple(float(v) for v in rng.uniform(0, 255, 3)))
    return shown


class EpochSampler(Sampler[tuple[int, int]]):
    """Endless (epoch, position), shuffled per epoch by the seed, shared out among processes, from any step on."""

    def __init__(self, size: int, seed: int, rank: int, world: int, start: int = 0) -> None:
        self.size, self.seed, self.rank, self.world, self.start = size, seed, rank, world, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """`start` counts the draws of all processes together that came before."""
        drawn = self.start + self.rank
        order: NDArray[np.int64] = np.empty(0, np.int64)
        current = -1
        while True:
            epoch, place = divmod(drawn, self.size)
            if epoch != current:
                order, current = np.random.default_rng((self.seed, epoch)).permutation(self.size), epoch
            yield epoch, int(order[place])
            drawn += self.world
