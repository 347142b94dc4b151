"""What all sections of the configuration share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _check_path(value: object) -> object:
    """Refuse a path that no one can mean; raises ValueError."""
    if isinstance(value, str):
        if not value.strip() or not value.isprintable():
            raise ValueError(f"expected a path of printable characters, found {value!r}")
        if value.startswith("~/"):
            raise ValueError(f"expected a full path, found {value!r}: `~` is not replaced here")
    return value


ConfigPath = Annotated[Path, BeforeValidator(_check_path)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


AnySection = TypeVar("AnySection", bound=Section)


def absolute(section: AnySection, base: Path) -> AnySection:
    """A section whose paths, and those of the sections in it, start at a folder."""
    changes: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changes[name] = base / value
        elif isinstance(value, Section):
            changes[name] = absolute(value, base)
    return section.model_copy(update=changes)
