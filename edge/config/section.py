"""Base class and field types shared by all sections of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator
from pydantic.config import JsonDict

from edge.frozen_model import FrozenModel

Process = Literal["recogniser", "door"]


def restart(*processes: Process) -> JsonDict:
    """Return the field metadata of a key whose new value needs a restart of these processes."""
    return {"restart": list(processes)}


COMMANDS: JsonDict = {"commands": True}  # a key that only commands read, at each start


def _check_path(value: object) -> object:
    """Refuse a path that cannot be meant; raises ValueError."""
    if isinstance(value, str):
        if not value.strip() or not value.isprintable():
            raise ValueError(f"expected a path of printable characters, found {value!r}")
        if value.startswith("~/"):
            raise ValueError(f"expected a full path, found {value!r}: `~` is not replaced here")
    return value


ConfigPath = Annotated[Path, BeforeValidator(_check_path)]


class Section(FrozenModel):
    """Base of all sections."""


AnySection = TypeVar("AnySection", bound=Section)


def absolute(section: AnySection, base: Path) -> AnySection:
    """Return a copy in which relative paths are resolved from the folder `base`."""
    changes: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changes[name] = base / value
        elif isinstance(value, Section):
            changes[name] = absolute(value, base)
        elif isinstance(value, tuple):
            changes[name] = tuple(
                absolute(item, base) if isinstance(item, Section) else item for item in value
            )
    return section.model_copy(update=changes)
