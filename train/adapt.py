"""Adapt an encoder to masked faces: targets of its own, cut at 14x14, routed training."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx
from tqdm import tqdm

from calibration.chips import decode_chip, has_real_mask, read_chips
from edge import masks
from edge.chip import SIZE, to_input
from edge.engine import Engine, open_engine
from edge.errors import ConfigError
from edge.system.atomic_files import write_atomic
from train.data import ChipSet, load_chips
from train.encoders.conventions import LabelledFaces
from train.encoders.cut import Cut, at_14x14, find_cuts
from train.encoders.onnx_to_torch import read_encoder
from train.encoders.source import OWN, Encoder, open_encoder
from train.loop import CHECKPOINT, check_output, make_output, run_training
from train.recipe import AdaptRecipe, DataRecipe, RoutedRecipe
from train.routed import EncoderOrigin, RoutedConfig, RoutedNetwork
from train.weights import load_checkpoint

TARGETS = "targets.npz"
ENCODER = "encoder.onnx"
_PEOPLE, _PHOTOS = 20, 8  # to measure input conventions
_STATISTICS_CHIPS, _STATISTICS_SEED = 500, 0  # for the norms of the branch


@dataclass(frozen=True, slots=True)
class EncoderFile:
    """Encoder as the user names it."""

    path: Path
    convention: str | None  # None: measured
    licence: str
    origin: str


def choose_cuts(encoder: fx.GraphModule, section: RoutedRecipe) -> tuple[Cut, Cut]:
    """Return the cut that is gated and the cut that the attention reads; raises ConfigError.

    The trunk of an encoder is its narrowest 14x14 feature: wider ones are inside of blocks.
    """
    cuts = at_14x14(find_cuts(encoder))
    narrowest = min(cut.channels for cut in cuts)
    trunk = [cut for cut in cuts if cut.channels == narrowest]
    if not -len(trunk) <= section.shared_blocks < len(trunk):
        raise ConfigError(
            f"network.shared_blocks: the encoder has {len(trunk)} features at 14x14, "
            f"found {section.shared_blocks}; add --set network.shared_blocks=N with N from 0, the "
            f"first, to {len(trunk) - 1}, the last"
        )
    return trunk[section.shared_blocks], trunk[-1]


def routed_config(
    encoder: fx.GraphModule, section: RoutedRecipe, origin: EncoderOrigin
) -> RoutedConfig:
    """Return the config of the add-on of an encoder; raises ConfigError if it cannot be cut."""
    gate, attend = choose_cuts(encoder, section)
    with torch.no_grad():
        size = encoder(torch.zeros(1, 3, SIZE, SIZE)).shape[1]
    return RoutedConfig(
        gate_at=gate.node,
        attend_at=attend.node,
        channels=attend.channels,
        embedding=size,
        encoder=origin,
        variant=section.variant,
        added_blocks=section.added_blocks,
        bare_from=section.bare_from,
    )


BareChips = list[tuple[str, bytes]]  # (<source>/<identity>/<image>, encoded)


def read_bare_chips(root: Path, section: DataRecipe) -> BareChips:
    """Return all chips without a real mask."""
    return [
        (f"{Path(source).stem}/{name}", encoded)
        for source in section.sources
        for name, encoded in read_chips(root / source)
        if not has_real_mask(name)
    ]


def targets_key(encoder: bytes, chips: BareChips) -> str:
    """Return a digest of what targets are made from: the encoder, and names and bytes of chips."""
    digest = hashlib.sha256(hashlib.sha256(encoder).digest())
    for name, encoded in chips:
        digest.update(hashlib.sha256(name.encode()).digest())
        digest.update(hashlib.sha256(encoded).digest())
    return digest.hexdigest()


def has_targets(path: Path, made_from: str) -> bool:
    """Return True if a file contains the targets of `targets_key`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return str(archive["made_from"]) == made_from
    except (OSError, EOFError, KeyError, ValueError, BadZipFile, zlib.error):
        return False


def write_targets(engine: Engine, chips: BareChips, path: Path, made_from: str) -> None:
    """Write the encoder's embeddings of bare chips, the targets of their masked views.

    An embedding is the mean of those of a chip and its mirror image. Raises ConfigError if no chip
    can be read.
    """
    names: list[str] = []
    found: list[NDArray[np.float32]] = []
    for name, encoded in tqdm(chips, desc="embeddings of the encoder", unit="chip"):
        try:
            found.append(_mirrored_mean(engine, decode_chip(encoded, name)))
        except ConfigError as error:
            tqdm.write(f"skipped: {error}")
        else:
            names.append(name)
    if not names:
        raise ConfigError("the recipe's sources contain no readable chip without a real mask")
    buffer = io.BytesIO()
    np.savez(
        buffer,
        names=np.array(names),
        embeddings=np.stack(found).astype(np.float16),
        made_from=np.array(made_from),
    )
    write_atomic(path, buffer.getvalue(), 0o644)


def _mirrored_mean(engine: Engine, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the unit mean (D,) of the unit embeddings of a chip and its mirror image."""
    views = [to_input(view[None]) for view in (chip, np.ascontiguousarray(chip[:, ::-1]))]
    rows = [next(iter(engine.run(view).values())).reshape(-1) for view in views]
    mean = sum(row / np.linalg.norm(row) for row in rows)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def labelled_faces(chips: BareChips, section: DataRecipe) -> LabelledFaces | None:
    """Return faces to measure input conventions; None without enough people of eight photos."""
    unlabelled = {Path(source).stem for source in section.unlabelled}
    photos: dict[str, BareChips] = {}
    for name, encoded in chips:
        source, person, _ = name.split("/", 2)
        if source not in unlabelled:
            photos.setdefault(person, []).append((name, encoded))
    people: list[list[NDArray[np.uint8]]] = []
    for found in photos.values():
        if len(people) < _PEOPLE and len(readable := _readable_chips(found)) == _PHOTOS:
            people.append(readable)
    if len(people) < _PEOPLE:
        return None
    return LabelledFaces(
        [chip for readable in people for chip in readable],
        np.repeat(np.arange(len(people)), _PHOTOS),
    )


def _readable_chips(photos: BareChips) -> list[NDArray[np.uint8]]:
    """Return the first eight chips of a person that can be decoded; none of fewer photos."""
    chips: list[NDArray[np.uint8]] = []
    for name, encoded in photos if len(photos) >= _PHOTOS else ():
        with contextlib.suppress(ConfigError):  # named when the targets are written
            chips.append(decode_chip(encoded, name))
        if len(chips) == _PHOTOS:
            break
    return chips


def adapt(
    recipe: AdaptRecipe,
    source: EncoderFile,
    data: Path,
    out: Path,
    *,
    resume: bool,
    save_every: int | None = None,
) -> Path:
    """Train the add-on of an encoder to the end of the recipe; return the checkpoint.

    The converted encoder and its embeddings are kept in `out`. Raises ConfigError.
    """
    check_output(out, resume)
    file = out / ENCODER
    if file.exists() and file.samefile(source.path):
        raise ConfigError(f"{file}: would be replaced by its converted form; name another --out")
    bare = read_bare_chips(data, recipe.data)
    encoder = open_encoder(
        source.path,
        source.convention,
        labelled_faces(bare, recipe.data),
        lambda graph: choose_cuts(graph, recipe.network),
    )
    graph = read_encoder(encoder.content, str(source.path))
    origin = EncoderOrigin(
        encoder.kind,
        encoder.source_sha256,
        str(encoder.convention),
        source.licence,
        source.origin,
    )
    config = routed_config(graph, recipe.network, origin)
    _print_encoder(encoder, find_cuts(graph), config)
    _check_same(out / CHECKPOINT, config)
    make_output(out)
    write_atomic(file, encoder.content, 0o644)
    _update_targets(file, encoder, bare)
    chips = load_chips(data, recipe.data, config.embedding, out / TARGETS)
    for missing in missing_people(*chips):
        tqdm.write(f"warning: {missing}")

    def build() -> RoutedNetwork:
        network = RoutedNetwork(encoder.content, config)
        if not (out / CHECKPOINT).exists():  # which has the statistics
            faces = statistics_faces(chips[0], recipe.draw.families, _STATISTICS_CHIPS)
            network.fit_branch(torch.from_numpy(to_input(faces)))
        return network

    return run_training(recipe, build, chips, out, save_every=save_every)


def _update_targets(file: Path, encoder: Encoder, bare: BareChips) -> None:
    """Write the targets next to an encoder's file unless they exist."""
    targets = file.with_name(TARGETS)
    made_from = targets_key(encoder.content, bare)
    if not has_targets(targets, made_from):
        engine = open_engine(file, threads=max(1, (os.cpu_count() or 2) // 2))
        write_targets(engine, bare, targets, made_from)


def statistics_faces(trained: ChipSet, families: tuple[str, ...], most: int) -> NDArray[np.uint8]:
    """Return at most `most` chips (N,112,112,3), evenly spaced, every second one with a drawn mask.

    They are readable chips to train on without a real mask. All calls draw the same masks.
    """
    bare = [item for item in trained.items if item.target_row >= 0]  # a target was made of each
    count = min(len(bare), most)
    rng = np.random.default_rng(_STATISTICS_SEED)
    faces: list[NDArray[np.uint8]] = []
    for number in range(count):
        item = bare[number * len(bare) // count]
        chip = decode_chip(item.encoded, item.name)
        if number % 2 == 0:
            chip, _ = masks.draw(chip, masks.random_style(rng, families))
        faces.append(chip)
    return np.stack(faces)


def missing_people(trained: ChipSet, held_out: ChipSet | None) -> list[str]:
    """Return what the data lacks in named people, and what follows."""
    missing = []
    if trained.identities == 0:
        missing.append(
            "no person is named in the data to train on: the losses match and alikeness treat "
            "photos of one person as different people; add a source with one folder per person"
        )
    elif trained.identities == 1 and all(i.label >= 0 for i in trained.items if not i.real_mask):
        missing.append(
            "the data to train on contains one person: masked faces of different people cannot be "
            "kept apart, so strangers in masks may match; add a source of several people"
        )
    people = 0 if held_out is None else _people_to_compare(held_out)
    if people < 2:
        missing.append(
            f"{people} people with two bare photos are kept for validation, at least 2 are needed: "
            "the run has no recognition figures to choose best.pt by, and no people for "
            "mfsa-threshold; add a source of several people to data.split"
        )
    return missing


def _people_to_compare(chips: ChipSet) -> int:
    """Return the number of people with two bare photos or more; overlapping sources count once."""
    photos = {item.name.split("/", 1)[1]: item.label for item in chips.items if not item.real_mask}
    return sum(count > 1 for count in Counter(photos.values()).values())


def _check_same(checkpoint: Path, config: RoutedConfig) -> None:
    """Raise ConfigError if a run to resume is of another encoder or network."""
    if checkpoint.exists() and load_checkpoint(checkpoint)["network"] != config.as_dict():
        raise ConfigError(
            f"{checkpoint}: made for another encoder, input, licence, origin or network; "
            "name another --out"
        )


def _print_encoder(encoder: Encoder, cuts: list[Cut], config: RoutedConfig) -> None:
    tqdm.write(f"encoder: {encoder.kind}, sha256 {encoder.source_sha256[:16]}")
    known = "known from the checkpoint; " if encoder.kind == OWN else ""
    rates = encoder.measured.ranked(encoder.convention)
    tqdm.write(f"input: {encoder.convention} ({known}{encoder.measured.faces}: {rates})")
    if not encoder.measured.recognises:
        tqdm.write(
            "warning: the encoder does not recognise these faces with any input convention; "
            "an add-on of it will not either; check its weights and the alignment of the chips"
        )
    tqdm.write(f"conversion: least cosine {encoder.conversion_cosine:.6f} to the original")
    for cut in at_14x14(cuts):
        note = {config.gate_at: "  <- gated by A_u, the branch begins"}.get(cut.node, "")
        note += "  <- read by the attention" if cut.node == config.attend_at else ""
        tqdm.write(f"cut: {cut.node} ({cut.channels}, {cut.cells}, {cut.cells}){note}")
