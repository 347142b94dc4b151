"""A recipe: every choice of a training run in one YAML file, checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ConfigError, describe_validation


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LossWeights(_Section):
    """What each loss counts; 0 switches it off."""

    distil: float = Field(5.0, ge=0)
    relation: float = Field(20.0, ge=0)
    arcface: float = Field(0.0, ge=0)
    mask: float = Field(0.3, ge=0)
    adversary: float = Field(0.1, ge=0, description="final strength of the reversed gradient")
    background: float = Field(0.05, ge=0)
    absent: float = Field(0.0, ge=0, description="mean of A_m where no mask is worn")
    cover: float = Field(0.0, ge=0, description="-log of the mean of A_b: the background map must not be empty")


class NetworkSection(_Section):
    embedding: int = Field(256, ge=16)
    widths: tuple[int, int, int, int] = (64, 128, 256, 256)
    blocks: tuple[int, int, int] = (2, 6, 2)
    activation: Literal["relu", "prelu"] = "relu"


class DataSection(_Section):
    """Chips aligned to 112x112: tar files or folders of `<identity>/<image>.jpg`."""

    sources: tuple[str, ...] = Field(min_length=1, description="paths under --data; a name ending in .tar or a folder")
    teacher: str | None = Field(None, description=".npz with `names` and `embeddings`, path under --data")
    unlabelled: tuple[str, ...] = Field((), description="sources whose folders are not identities")
    split: tuple[str, ...] | None = Field(
        None, description="sources of which a tenth of the identities is kept for validation; default: all that have identities"
    )

    @model_validator(mode="after")
    def _names_are_sources(self) -> DataSection:
        unknown = {*(self.split or ()), *self.unlabelled} - set(self.sources)
        if unknown:
            raise ValueError(f"split and unlabelled must name sources, found {', '.join(sorted(unknown))}")
        return self

    def keeps_apart(self, source: str) -> bool:
        """Whether a tenth of this source's identities is for validation."""
        return source in self.split if self.split is not None else source not in self.unlabelled


class Recipe(_Section):
    network: NetworkSection = NetworkSection()
    data: DataSection
    loss: LossWeights = LossWeights()
    mask_probability: float = Field(0.4, ge=0, le=1)
    chips: int = Field(gt=0, description="how many chips the whole run sees")
    batch: int = Field(128, ge=2, description="per process")
    learning_rate: float = Field(2e-3, gt=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the run")
    decay: float = Field(0.5, gt=0, le=1, description="share of the run, at its end, in which the rate falls to zero")
    weight_decay: float = Field(0.02, ge=0)
    clip_gradient: float = Field(5.0, gt=0)
    bf16: bool = True
    compile: bool = True
    workers: int = Field(2, ge=0)
    seed: int = 0


def load_recipe(path: Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe in a YAML file; raises ConfigError that names every wrong key."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the recipe ({error.strerror}); name an existing YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: expected a mapping of recipe keys, found {type(fields).__name__}")
    try:
        return Recipe.model_validate({**fields, **(overrides or {})})
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_validation(error)}") from error
