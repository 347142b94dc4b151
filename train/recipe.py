"""Recipe of a training run: one YAML file, checked before data is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from edge import masks
from edge.errors import ConfigError
from edge.frozen_model import FrozenModel
from edge.parsing import Document, read_yaml, validate
from edge.validation_messages import Renamed
from train.network import NetworkConfig

# Keys that have another name since version 0.2.0; the message names the new one.
_RENAMED = Renamed(
    {
        "loss.absent": "loss.mask_absent",
        "loss.shown": "loss.mask_area_min",
        "loss.filled": "loss.mask_area_batch",
        "loss.cover": "loss.area_min",
        "loss.decided": "loss.map_entropy",
    },
    {},
)


# Losses that compare identities with a teacher's embeddings; loss.arcface needs labels instead.
_IDENTITY_LOSSES = ("distil", "relation", "neighbours", "match")


class LossWeights(FrozenModel):
    """Weights of the losses; 0 switches a loss off."""

    distil: float = Field(
        5.0, ge=0, description="1 - cosine to the teacher's embedding of the unmasked chip"
    )
    relation: float = Field(
        20.0, ge=0, description="squared difference of the batch's similarity matrices"
    )
    neighbours: float = Field(
        0.0, ge=0, description="cross-entropy of the similarities to the complete training set"
    )
    match: float = Field(
        0.0, ge=0, description="finding the own picture in the training set, with a margin"
    )
    alikeness: float = Field(
        0.0, ge=0, description="similarity of hidden faces to other people beyond that of bare ones"
    )
    similarity: float = Field(
        1.0, ge=0, description="squared error of the expected similarity; trains its head only"
    )
    arcface: float = Field(0.0, ge=0)
    mask: float = Field(0.3, ge=0, description="mask worn and other covers, classified from A_m")
    adversary: float = Field(0.1, ge=0, description="final strength of the reversed gradient")
    background: float = Field(0.05, ge=0)
    mask_absent: float = Field(1.0, ge=0, description="mean of A_m on bare faces")
    mask_area_min: float = Field(0.1, ge=0, description="least area of A_m on hidden faces")
    mask_area_batch: float = Field(
        0.0,
        ge=0,
        description="mean area of A_m over the masks of a batch",
    )
    area_min: float = Field(0.05, ge=0, description="least area of A_b, and of A_u on bare faces")
    map_entropy: float = Field(0.0, ge=0, description="entropy of the three maps at each position")


class NetworkRecipe(FrozenModel):
    encoder: Literal["mbf", "ir18"] = "mbf"
    variant: Literal["none", "sa", "cal", "mfsa", "mfsa-product"] = "mfsa"
    embedding: int = Field(256, ge=16)
    widths: tuple[int, ...] = Field(
        (), description="channels at 56x56, 28x28, 14x14, 7x7; default: those of the backbone"
    )
    blocks: tuple[int, ...] = Field(
        (), description="residual blocks at the same sizes; default: those of the backbone"
    )
    activation: Literal["relu", "prelu"] = "relu"

    @model_validator(mode="after")
    def _can_be_built(self) -> NetworkRecipe:
        self.config()
        return self

    def config(self) -> NetworkConfig:
        return NetworkConfig(**self.model_dump())


class DrawRecipe(FrozenModel):
    """Drawings on the chips of a run."""

    mask_probability: float = Field(0.4, ge=0, le=1)
    occluder_probability: float = Field(0.2, ge=0, le=1, description="of the chips without a mask")
    both_probability: float = Field(
        0.0, ge=0, le=1, description="another occluder too, of the chips with a mask"
    )
    border_probability: float = Field(
        0.0, ge=0, le=1, description="sides filled with one grey level, as tight crops have"
    )
    families: tuple[str, ...] = Field(
        masks.TRAINED, min_length=1, description="mask families to draw from"
    )

    @model_validator(mode="after")
    def _families_exist(self) -> DrawRecipe:
        unknown = set(self.families) - set(masks.TRAINED)
        if unknown:
            raise ValueError(
                f"families: expected some of {', '.join(masks.TRAINED)}, "
                f"found {', '.join(sorted(unknown))}; "
                f"{', '.join(masks.HELD_OUT)} are for measurements only"
            )
        return self


class DataRecipe(FrozenModel):
    """Sources of aligned 112x112 chips: tar files or folders of `<identity>/<image>.jpg`."""

    sources: tuple[str, ...] = Field(
        min_length=1, description="paths under --data; a name ending in .tar or a folder"
    )
    teacher: str | None = Field(
        None, description=".npz with `names` and `embeddings`, path under --data"
    )
    unlabelled: tuple[str, ...] = Field((), description="sources whose folders are not identities")
    split: tuple[str, ...] | None = Field(
        None,
        description="sources with a tenth of identities for validation; default: all labelled",
    )

    @model_validator(mode="after")
    def _names_are_sources(self) -> DataRecipe:
        unknown = {*(self.split or ()), *self.unlabelled} - set(self.sources)
        if unknown:
            raise ValueError(
                f"split and unlabelled must name sources, found {', '.join(sorted(unknown))}"
            )
        return self

    def has_validation(self, source: str) -> bool:
        """Return True if a tenth of this source's identities is used for validation."""
        return source in self.split if self.split is not None else source not in self.unlabelled


class RoutedRecipe(FrozenModel):
    """Add-on of an encoder: a branch for masked faces, and the attention that gates it."""

    variant: Literal["none", "sa", "cal", "mfsa", "mfsa-product"] = "mfsa"
    shared_blocks: int = Field(
        0,
        ge=-1,
        description="14x14 features that the branch shares with the encoder: "
        "0 begins at the first, -1 at the last",
    )
    added_blocks: int = Field(0, ge=0, description="residual blocks at 14x14 added to the branch")
    bare_from: Literal["encoder", "branch"] = Field(
        "encoder",
        description="part that embeds faces without a mask; branch: one fine-tuned network",
    )


class TrainingRecipe(FrozenModel):
    """Keys that mfsa-train and mfsa-adapt share."""

    data: DataRecipe
    draw: DrawRecipe = DrawRecipe()
    loss: LossWeights = LossWeights()
    chips: int = Field(gt=0, description="chips of the complete run")
    stop_at: int | None = Field(None, gt=0, description="chips; end before the end of the schedule")
    batch: int = Field(128, ge=2, description="per process")
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["linear", "cosine", "polynomial"] = Field(
        "linear", description="decay of the learning rate to zero"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the run in which the rate rises")
    decay: float = Field(
        0.5, gt=0, le=1, description="share of the run, at its end, in which the rate falls"
    )
    weight_decay: float = Field(0.02, ge=0)
    clip_gradient: float = Field(5.0, gt=0)
    bf16: bool = True
    compile: bool = True
    workers: int = Field(2, ge=0)
    seed: int = Field(0, ge=0)
    validate_every: int = Field(50_000, gt=0, description="chips")

    @field_validator("loss", mode="before")
    @classmethod
    def _weights_are_named(cls, section: Any) -> Any:
        if section == {}:
            raise ValueError(
                "the section is empty; name weights such as distil, or remove the section to use "
                "the defaults"
            )
        return section

    def has_identity_loss(self, has_teacher: bool) -> bool:
        """Return True if identities are trained: against a teacher, or by ArcFace on labels."""
        is_labelled = bool(set(self.data.sources) - set(self.data.unlabelled))
        is_taught = any(getattr(self.loss, name) for name in _IDENTITY_LOSSES)
        return (has_teacher and is_taught) or (is_labelled and self.loss.arcface > 0)


class AdaptRecipe(TrainingRecipe):
    """Recipe of mfsa-adapt: the encoder is its own teacher."""

    network: RoutedRecipe = RoutedRecipe()

    @model_validator(mode="after")
    def _encoder_is_the_teacher(self) -> AdaptRecipe:
        if self.data.teacher:
            raise ValueError("data.teacher: the encoder is the teacher; remove the key")
        return self

    @model_validator(mode="after")
    def _something_trains_the_branch(self) -> AdaptRecipe:
        if not self.has_identity_loss(has_teacher=True):
            raise ValueError(
                f"no loss for identities: loss.{', loss.'.join(_IDENTITY_LOSSES)} are 0; "
                "set loss.distil"
            )
        return self


class Recipe(TrainingRecipe):
    """Recipe of mfsa-train."""

    network: NetworkRecipe = NetworkRecipe()
    frozen: bool = Field(False, description="keep the layers before 14x14 as --start-from has them")

    @model_validator(mode="after")
    def _something_teaches_identities(self) -> Recipe:
        if not self.has_identity_loss(has_teacher=bool(self.data.teacher)):
            raise ValueError(
                "no loss for identities: set loss.arcface, or data.teacher with loss.distil"
            )
        for name in ("neighbours", "match", "alikeness"):
            if getattr(self.loss, name) and not self.data.teacher:
                raise ValueError(f"loss.{name} needs data.teacher")
        return self


_R = TypeVar("_R", bound=TrainingRecipe)


def load_recipe(path: Path, kind: type[_R], changes: Sequence[str] = ()) -> _R:
    """Read a recipe and apply `key.key=value` changes; raises ConfigError with every problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot read the recipe ({error}); name an existing YAML file"
        ) from error
    try:
        document = read_yaml(text)
        if not isinstance(document.value, dict):
            raise ConfigError("expected keys such as `network:` and `data:`, found none")
        for change in changes:
            document = _apply(document, change)
        return validate(kind, document, _RENAMED)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _apply(document: Document, change: str) -> Document:
    """Set one key of nested sections, the value read as YAML."""
    key, equals, value = change.partition("=")
    *sections, name = key.split(".")
    if not equals or not name:
        raise ConfigError(
            f"--set: expected KEY=VALUE such as network.variant=none, found {change!r}"
        )
    fields = document.value
    for section in sections:
        fields = fields.setdefault(section, {})
        if not isinstance(fields, dict):
            raise ConfigError(f"--set {change}: {section} is not a section of the recipe")
    try:
        fields[name] = read_yaml(value).value
    except ConfigError as error:
        raise ConfigError(f"--set {change}: {error}") from error
    place = (*sections, name)
    return replace(
        document,
        lines={p: line for p, line in document.lines.items() if p[: len(place)] != place},
        switches={p: word for p, word in document.switches.items() if p[: len(place)] != place},
    )
