"""Base class of pydantic models that are written to files."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edge.system.digest import SHA256_PATTERN

Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN)]


class FrozenModel(BaseModel):
    """Refuses unknown keys and changes of its values."""

    model_config = ConfigDict(extra="forbid", frozen=True)
