"""Base class and field types shared by all sections of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator
from pydantic.config import JsonDict

from edge.frozen_model import FrozenModel
from edge.validation_messages import Place

Process = Literal["recogniser", "door", "console"]


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


def absolute(section: AnySection, folder: Callable[[Place], Path], place: Place = ()) -> AnySection:
    """Return a copy in which each relative path is resolved from the folder of its place."""
    changes: dict[str, object] = {}
    for name in type(section).model_fields:
        value, here = getattr(section, name), (*place, name)
        if isinstance(value, Path):
            changes[name] = folder(here) / value
        elif isinstance(value, Section):
            changes[name] = absolute(value, folder, here)
        elif isinstance(value, tuple):
            changes[name] = tuple(
                absolute(item, folder, (*here, i)) if isinstance(item, Section) else item
                for i, item in enumerate(value)
            )
    return section.model_copy(update=changes)
