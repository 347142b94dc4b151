"""Keys whose new value needs a restart of a process instead of a reload."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.config import TerminalConfig
from edge.config.section import Process
from edge.errors import ConfigError
from edge.validation_messages import section_models


def check_unchanged(old: TerminalConfig, new: TerminalConfig, process: Process) -> None:
    """Check that a reload changes no key that needs a restart; raises ConfigError."""
    changed = [key for key in restart_keys(process) if _value(old, key) != _value(new, key)]
    if changed:
        raise ConfigError(f"{', '.join(changed)}: another value needs a restart")


def restart_keys(process: Process) -> tuple[str, ...]:
    """Return the dotted keys whose new value needs a restart of a process."""
    return tuple(_keys(TerminalConfig, "", process))


def restarts(field: FieldInfo) -> list[str]:
    """Return the processes that a new value of the field restarts."""
    extra = field.json_schema_extra
    found = extra.get("restart", []) if isinstance(extra, dict) else []
    return [str(process) for process in found] if isinstance(found, list) else []


def _keys(model: type[BaseModel], prefix: str, process: Process) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if process in restarts(field):
            yield f"{prefix}{name}"
        elif len(inner := list(section_models(field.annotation))) == 1:
            yield from _keys(inner[0], f"{prefix}{name}.", process)


def _value(config: BaseModel, key: str) -> object:
    first, _, rest = key.partition(".")
    found = getattr(config, first)
    return _value(found, rest) if rest else found
