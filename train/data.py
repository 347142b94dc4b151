"""Training data: chips, targets, split by identity, and augmented views by (seed, epoch, index)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from calibration import occluders
from calibration.chips import (
    chip_name,
    decode_chip,
    has_real_mask,
    is_validation_identity,
    read_chips,
)
from edge import masks
from edge.chip import SIZE, to_input
from edge.errors import ConfigError
from train.loss import UNLABELLED, Batch, TeacherBank
from train.recipe import DataRecipe, DrawRecipe


@dataclass(frozen=True, slots=True)
class ChipItem:
    """Encoded chip with its label and target."""

    name: str  # <source>/<identity>/<image>
    encoded: bytes
    label: int
    target_row: int  # row of `ChipSet.targets`, -1 for none
    real_mask: bool


@dataclass(frozen=True, eq=False)
class ChipSet:
    """All chips of a run, in memory as JPEG bytes (about 5 kB each)."""

    items: tuple[ChipItem, ...]
    targets: NDArray[np.float32]  # (rows, D) unit norm
    identities: int

    def __len__(self) -> int:
        return len(self.items)

    def bank_rows(self) -> NDArray[np.int64]:
        """Return the row in the bank of each row of `targets`, -1 for targets of no picture."""
        rows = np.full(len(self.targets), -1, np.int64)
        used = sorted({item.target_row for item in self.items if item.target_row >= 0})
        rows[used] = np.arange(len(used))
        return rows

    def teacher_bank(self) -> TeacherBank:
        """Return the teacher's embeddings of all pictures that have one, with their identities."""
        label_of = {item.target_row: item.label for item in self.items if item.target_row >= 0}
        used = sorted(label_of)
        return TeacherBank(
            torch.from_numpy(self.targets[used]), torch.tensor([label_of[row] for row in used])
        )


def load_chips(
    root: Path, section: DataRecipe, embedding: int, teacher_file: Path | None
) -> tuple[ChipSet, ChipSet | None]:
    """Load the training chips of a recipe, and the validation chips; None without any.

    A folder name is one person across all sources. Raises ConfigError for a missing source, or for
    teacher embeddings of another size than the network's.
    """
    rows, teacher = _load_teacher(teacher_file, embedding)
    read = [
        (source, name, encoded)
        for source in section.sources
        for name, encoded in read_chips(root / source)
    ]
    kept = {
        i
        for s, name, _ in read
        if section.has_validation(s) and is_validation_identity(i := name.split("/")[0])
    }
    trained, held_out = [], []
    for source, name, encoded in read:
        if source in section.unlabelled or name.split("/")[0] not in kept:
            trained.append((source, name, encoded))
        elif section.has_validation(source):
            held_out.append((source, name, encoded))
    if not trained:
        raise ConfigError(f"{root}: no chips to train on in {', '.join(section.sources)}")
    unlabelled = frozenset(section.unlabelled)
    if rows and not any(f"{Path(source).stem}/{name}" in rows for source, name, _ in trained):
        raise ConfigError(
            f"{teacher_file}: none of its names is a chip; "
            f"expected <source>/<identity>/<image>, such as "
            f"{Path(trained[0][0]).stem}/{trained[0][1]}"
        )
    return (
        _chip_set(trained, unlabelled, rows, teacher),
        _chip_set(held_out, unlabelled, rows, teacher) if held_out else None,
    )


def _chip_set(
    found: list[tuple[str, str, bytes]],
    unlabelled: frozenset[str],
    rows: dict[str, int],
    teacher: NDArray[np.float32],
) -> ChipSet:
    labels: dict[str, int] = {}
    items = []
    for source, name, encoded in found:
        key, person = f"{Path(source).stem}/{name}", name.split("/")[0]
        real_mask = has_real_mask(name)
        # The teacher's embedding of a masked photo would teach its weakness, and the names of
        # people in masks are often uncertain.
        row = -1 if real_mask else rows.get(key, -1)
        is_unlabelled = real_mask or source in unlabelled
        label = UNLABELLED if is_unlabelled else labels.setdefault(person, len(labels))
        items.append(ChipItem(key, encoded, label, row, real_mask))
    return ChipSet(tuple(items), teacher, len(labels))


def _load_teacher(path: Path | None, embedding: int) -> tuple[dict[str, int], NDArray[np.float32]]:
    if path is None:
        return {}, np.zeros((0, embedding), np.float32)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names, embeddings = archive["names"], archive["embeddings"].astype(np.float32)
    except (OSError, EOFError, KeyError, ValueError, BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"{path}: expected an .npz with `names` and `embeddings`: {error}"
        ) from error
    if embeddings.ndim != 2 or embeddings.shape[1] != embedding or len(names) != len(embeddings):
        raise ConfigError(
            f"{path}: expected embeddings ({len(names)}, {embedding}), found {embeddings.shape}"
        )
    norm = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not (np.isfinite(norm).all() and (norm > 0).all()):
        raise ConfigError(
            f"{path}: contains embeddings that are zero or not finite; make them again"
        )
    embeddings /= norm
    return {_teacher_key(str(n)): i for i, n in enumerate(names)}, embeddings


def _teacher_key(name: str) -> str:
    """Return `<source>/<identity>/<image>` with the normalised names of chips."""
    source, slash, rest = name.partition("/")
    return f"{source}{slash}{chip_name(rest)}"


@dataclass(frozen=True, slots=True, eq=False)
class AugmentedView:
    """Augmented picture with its labels."""

    chip: NDArray[np.uint8]
    mask_worn: bool
    covered: bool
    item: ChipItem


class AugmentedChips(Dataset[int]):
    """Augmented views; item i of epoch e is the same in every process for a seed.

    An index is (epoch, position); a batch of indices gives one `Batch`. An unreadable picture is
    named in the batch and replaced by the next one.
    """

    def __init__(
        self, chips: ChipSet, drawn: DrawRecipe, seed: int, *, augment: bool = True
    ) -> None:
        self.chips = chips
        self.bank_rows = chips.bank_rows()
        self.drawn = drawn
        self.seed = seed
        self.augment = augment

    def __len__(self) -> int:
        return len(self.chips)

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        skipped: list[str] = []
        views = [self._readable(epoch, position, skipped) for epoch, position in keys]
        dim = self.chips.targets.shape[1]
        rows = [view.item.target_row for view in views]
        target = [
            self.chips.targets[row] if row >= 0 else np.zeros(dim, np.float32) for row in rows
        ]
        return Batch(
            chips=torch.from_numpy(to_input(np.stack([view.chip for view in views]))),
            target=torch.from_numpy(np.stack(target)),
            label=torch.tensor([view.item.label for view in views]),
            mask_worn=torch.tensor([view.mask_worn for view in views], dtype=torch.float32),
            covered=torch.tensor([view.covered for view in views], dtype=torch.float32),
            bank_row=torch.tensor([self.bank_rows[row] if row >= 0 else -1 for row in rows]),
            skipped=tuple(skipped),
        )

    def _readable(self, epoch: int, position: int, skipped: list[str]) -> AugmentedView:
        for step in range(len(self.chips)):
            try:
                return self._view(epoch, (position + step) % len(self.chips))
            except ConfigError as error:
                skipped.append(str(error))
        raise ConfigError(f"none of {len(self.chips):,} pictures can be read: {skipped[0]}")

    def _view(self, epoch: int, position: int) -> AugmentedView:
        item = self.chips.items[position]
        rng = np.random.default_rng((self.seed, epoch, position))
        chip = decode_chip(item.encoded, item.name)
        worn, covered = item.real_mask, False
        if not worn and rng.random() < self.drawn.mask_probability:
            style = masks.random_style(rng, self.drawn.families)
            chip, _ = masks.draw(chip, style)
            worn = style.worn
            other = self.drawn.both_probability
        else:
            other = 0.0 if worn else self.drawn.occluder_probability
        if rng.random() < other:
            kind = str(rng.choice(occluders.KINDS))
            chip, _ = occluders.draw(chip, kind, rng)
            covered = occluders.covers_skin(kind)
        if self.augment and rng.random() < self.drawn.border_probability:
            chip = _fill_border(chip, rng)
        return AugmentedView(
            augment(chip, rng, worn) if self.augment else chip, worn, covered, item
        )


def collate(batch: Batch) -> Batch:
    """Return the batch, which `AugmentedChips` builds."""
    return batch


def init_worker(_: int) -> None:
    """Limit OpenCV to one thread; it would start one per core in each worker."""
    cv2.setNumThreads(0)


@dataclass(frozen=True, slots=True)
class _AlignmentJitter:
    """Standard deviations of the alignment of one face between photos."""

    rotation_deg: float
    log_scale: float
    shift_px: float  # pixels of a chip


# Measured by `python -m calibration.cli.landmark_jitter`: masks mislead the landmarks.
_JITTER = _AlignmentJitter(3.0, 0.045, 1.8)
_MASKED_JITTER = _AlignmentJitter(4.0, 0.12, 3.5)
_MASKED_SHARE = 0.35
_MAX_BORDER = 22  # pixels of a chip


def augment(
    chip: NDArray[np.uint8], rng: np.random.Generator, mask_worn: bool
) -> NDArray[np.uint8]:
    """Apply alignment jitter, low resolution, blur, grey, gamma and colour changes at random."""
    if rng.random() < 0.5:
        chip = chip[:, ::-1]
    picture = _blur(_shift(chip, rng, mask_worn), rng)
    if rng.random() < 0.1:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    levels = np.arange(256, dtype=np.float32) / 255
    gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.15))
    curve = np.clip(
        255 * gain * levels[:, None] ** gamma * np.exp(rng.normal(0, 0.05, 3)), 0, 255
    ).astype(np.uint8)
    lit = cv2.LUT(np.ascontiguousarray(picture), np.ascontiguousarray(curve[None]))
    return np.asarray(lit, dtype=np.uint8)


def _fill_border(chip: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Fill up to four sides with one grey level, as an alignment beyond the photo does."""
    filled = chip.copy()
    level = 0 if rng.random() < 0.6 else int(rng.integers(256))
    top, bottom, left, right = (
        int(n) if rng.random() < 0.5 else 0 for n in rng.integers(1, _MAX_BORDER, 4)
    )
    filled[:top] = filled[SIZE - bottom :] = level
    filled[:, :left] = filled[:, SIZE - right :] = level
    return np.asarray(filled, np.uint8)


def _shift(chip: NDArray[np.uint8], rng: np.random.Generator, mask_worn: bool) -> NDArray[Any]:
    """Rotate, scale and shift a chip as an imprecise alignment does."""
    jitter = _MASKED_JITTER if mask_worn and rng.random() < _MASKED_SHARE else _JITTER
    angle = rng.normal(0, jitter.rotation_deg)
    scale = float(np.exp(rng.normal(0, jitter.log_scale)))
    transform = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle, scale)
    transform[:, 2] += np.asarray(rng.normal(0, jitter.shift_px, 2))
    return cv2.warpAffine(
        chip, transform, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _blur(picture: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Lower the resolution or blur the picture, or neither."""
    if rng.random() < 0.25:
        side = int(rng.integers(28, 80))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (SIZE, SIZE))
    if rng.random() < 0.15:
        return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 1.6)))
    return picture


class EpochSampler(Sampler[tuple[int, int]]):
    """Endless (epoch, position), shuffled per epoch and shared among processes, from any step."""

    def __init__(self, size: int, seed: int, rank: int, world: int, start: int = 0) -> None:
        self.size, self.seed, self.rank, self.world, self.start = size, seed, rank, world, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield indices; `start` counts the earlier draws of all processes."""
        drawn = self.start + self.rank
        order: NDArray[np.int64] = np.empty(0, np.int64)
        current = -1
        while True:
            epoch, place = divmod(drawn, self.size)
            if epoch != current:
                order, current = (
                    np.random.default_rng((self.seed, epoch)).permutation(self.size),
                    epoch,
                )
            yield epoch, int(order[place])
            drawn += self.world
