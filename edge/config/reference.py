"""Configuration reference, generated from the models: JSON Schema, Markdown and a sample file."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.config import TerminalConfig
from edge.config.restart import restarts
from edge.validation_messages import accepted_words, section_models

_COLUMNS = 100
_HEADING = """\
# Configuration of one terminal, read by edge-daemon and edge-door. Made by `edge-doctor schema`.
# Lines with ## describe the next key. A key behind # is not set and shows its default, or an
# example. If a section has several kinds, write the keys of one kind only. Relative paths are
# resolved from the folder of this file. This is YAML 1.2: only true and false are boolean values,
# and duplicate keys are refused.
# Check a change: sudo /opt/mfsa-edge/bin/edge-doctor --config /etc/mfsa-edge/terminal.yaml
# Apply a change: sudo systemctl reload edge-door edge-daemon. An invalid file changes nothing: the
# reload fails and the journal names the error. Keys marked (restart) need a restart instead.
"""
# Values of the sample file. All other keys are comments.
_SAMPLE: Mapping[str, str] = {
    "terminal": "lobby-1",
    "bundle": "/opt/mfsa-edge/bundle",
    "state": "/var/lib/mfsa-edge",
    "key": "/etc/mfsa-edge/gallery.key",
    "camera.kind": "opencv",
    "camera.source": "0",
    "camera.width": "1280",
    "camera.height": "720",
    "engine.kind": "ort",
    "engine.threads": "2",
    "detector.search_interval_s": "0.2",
    "detector.min_face_px": "60",
    "policy.min_votes": "3",
    "policy.min_votes_masked": "5",
    "policy.window_s": "1.5",
    "policy.margin": "0.05",
    "policy.cooldown_s": "4.0",
    "liveness.kind": "none",
    "door.relay.kind": "simulated",
    "door.pulse_s": "3.0",
    "door.state": "/var/lib/mfsa-door",
    "door.socket": "/run/mfsa-door/door.sock",
    "door.clients": "[mfsa-edge]",
    "console.people_socket": "/run/mfsa-people.sock",
    "enrollment.quality": "standard",
    "record.verification_key_dir": "/etc/mfsa-edge/audit",
    "record.max_pictures": "0",
    "console.state": "/var/lib/mfsa-console",
}


@dataclass(frozen=True, slots=True)
class Key:
    """Key of the configuration."""

    section: str  # such as `door.relay`
    kind: str | None  # of the section, if it has several
    name: str
    field: FieldInfo
    restart: bool

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def default(self) -> str:
        """Default as YAML; `required`, or empty if the key is not set."""
        if self.field.is_required():
            return "required"
        value = self.field.get_default(call_default_factory=True)
        return "" if value is None or isinstance(value, BaseModel) else _yaml(value)

    @property
    def values(self) -> str:
        """Accepted values in words."""
        if words := dict.fromkeys(_literals(self.field.annotation)):
            return ", ".join(words)
        return f"{_kind_of_value(self.field)}{_range(self.field)}"


def build_schema() -> str:
    """Return the JSON Schema of the configuration."""
    return json.dumps(TerminalConfig.model_json_schema(), indent=2) + "\n"


def build_markdown() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Generated from the models in `edge/config/` by `make docs-generate`. The same "
        "descriptions",
        "are the comments of `systemd/terminal.yaml`. `edge-doctor schema` writes",
        "the JSON Schema. Check a file with `edge-doctor --config terminal.yaml`.",
        "",
        "Apply: *reload* (SIGHUP, `systemctl reload edge-door edge-daemon`), *restart*, or "
        "*command*",
        "(read by the next command).",
    ]
    shown: set[tuple[str, str | None]] = set()
    for section, kind, model, keys in _tables(TerminalConfig, "", False):
        if (section, kind) in shown:
            continue  # the same section in another kind of its parent
        shown.add((section, kind))
        title = f"`{section}`" if section else "Top level"
        lines += ["", f"## {title}" + (f", kind `{kind}`" if kind else ""), ""]
        lines += [*textwrap.wrap(" ".join((model.__doc__ or "").split()), _COLUMNS), ""]
        if keys:
            lines += ["| key | values | default | apply | description |", "|---|---|---|---|---|"]
        lines += [_row(key) for key in keys]
    return "\n".join(lines) + "\n"


def _row(key: Key) -> str:
    title, text = key.field.title or "", key.field.description or ""
    default = f"`{key.default}`" if key.default not in ("", "required") else key.default
    if not default:
        default = "see below" if key.values == "section" else "not set"
    cells = (f"`{key.name}`", key.values, default, _apply(key), f"**{title}.** {text}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _apply(key: Key) -> str:
    extra = key.field.json_schema_extra
    if key.restart:
        return "restart"
    return "command" if isinstance(extra, dict) and extra.get("commands") else "reload"


def _tables(
    model: type[BaseModel], section: str, restart: bool, kind: str | None = None
) -> Iterator[tuple[str, str | None, type[BaseModel], list[Key]]]:
    """Yield sections in the order of the file, one for each kind of a section."""
    keys = [
        Key(section, kind, name, field, restart or bool(restarts(field)))
        for name, field in model.model_fields.items()
        if name != "kind"
    ]
    yield section, kind, model, keys
    for key in keys:
        inner = list(section_models(key.field.annotation))
        for part in inner:
            found = (
                accepted_words(part.model_fields["kind"])
                if "kind" in part.model_fields
                else (None,)
            )
            if not key.path.startswith("door.inputs.") and key.path != "door.alarm":
                yield from _tables(part, key.path, key.restart, found[0])
    if section == "door.inputs":
        for part in section_models(model.model_fields["contact"].annotation):
            found = accepted_words(part.model_fields["kind"])
            yield from _tables(part, "door.inputs.*", restart, found[0])


def build_sample() -> str:
    """Return systemd/terminal.yaml: a valid file with every key, set or in a comment."""
    return _HEADING + "\n".join(_sample_lines(TerminalConfig, "", 0, False)) + "\n"


def _sample_lines(
    model: type[BaseModel], section: str, depth: int, commented: bool
) -> Iterator[str]:
    indent = "  " * depth
    for name, field in model.model_fields.items():
        path = f"{section}.{name}" if section else name
        inner = list(section_models(field.annotation))
        if name == "kind":
            continue
        if depth == 0:
            yield ""
        yield from _comment(field, indent)
        if inner and not path.startswith(("door.inputs.", "door.alarm")) and not _is_list(field):
            hidden = commented or not any(key.startswith(f"{path}.") for key in _SAMPLE)
            yield f"{indent}{'# ' if hidden else ''}{name}:"
            yield from _section_lines(inner, path, depth + 1, hidden)
        else:
            yield _line(path, name, field, indent, commented)
            if _is_list(field) and len(inner) > 1:
                yield from _wrapped(_item_keys(inner), indent)
    if section == "door.inputs":
        yield from _wrapped(_input_keys(model), indent)


def _section_lines(
    models: list[type[BaseModel]], path: str, depth: int, commented: bool
) -> Iterator[str]:
    indent = "  " * depth
    if len(models) == 1:
        yield from _sample_lines(models[0], path, depth, commented)
        return
    chosen = _SAMPLE.get(f"{path}.kind")
    models.sort(key=lambda model: accepted_words(model.model_fields["kind"])[0] != chosen)
    for model in models:
        kind = accepted_words(model.model_fields["kind"])[0]
        hidden = commented or kind != chosen
        if model is not models[0]:
            yield ""
        yield from _wrapped(" ".join((model.__doc__ or "").split()), indent)
        yield f"{indent}{'# ' if hidden else ''}kind: {kind}"
        yield from _sample_lines(model, path, depth, hidden)


def _line(path: str, name: str, field: FieldInfo, indent: str, commented: bool) -> str:
    if path in _SAMPLE and not commented:
        return f"{indent}{name}: {_SAMPLE[path]}"
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    has_default = default is not None and default != ()
    example = field.examples[0] if field.examples else "..."
    return f"{indent}# {name}: {_yaml(default) if has_default else example}"


def _input_keys(model: type[BaseModel]) -> str:
    """Describe the optional keys of the inputs, which the examples do not show."""
    found = []
    for part in section_models(model.model_fields["contact"].annotation):
        kind = _literals(part.model_fields["kind"].annotation)
        optional = [
            f"{name}: {_yaml(field.default)}"
            for name, field in part.model_fields.items()
            if not field.is_required()
        ]
        found.append(f"kind {next(kind)}: {', '.join(optional)}")
    keys = f"Further keys of each input and their defaults: {'; '.join(found)}."
    return f"{keys} settle_ms is the debounce time, pull the pull resistor."


def _item_keys(kinds: list[type[BaseModel]]) -> str:
    """Describe the keys of a list's items, which may have several kinds."""
    found = []
    for part in kinds:
        keys = [
            f"{name}: {field.examples[0] if field.examples else _yaml(field.default)}"
            for name, field in part.model_fields.items()
            if name != "kind"
        ]
        found.append(f"kind {accepted_words(part.model_fields['kind'])[0]}: {', '.join(keys)}")
    return f"Keys of each item, with an example or the default: {'; '.join(found)}."


def _comment(field: FieldInfo, indent: str) -> Iterator[str]:
    mark = " (restart)" if restarts(field) else ""
    yield from _wrapped(f"{field.title}{mark}: {field.description}{_range(field, ' ')}", indent)


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _COLUMNS - len(indent) - 3, break_on_hyphens=False):
        yield f"{indent}## {line}"


def _is_list(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is tuple


def _kind_of_value(field: FieldInfo) -> str:
    kinds = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    names = {**kinds, Path: "path", date: "day", time: "time"}
    found = {part: None for part in _plain_types(field.annotation) if part in names}
    text = " or ".join(names[part] for part in found)
    return f"list of {text or 'sections'}" if _is_list(field) else text or "section"


def _literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(word) for word in get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from _literals(part)


def _plain_types(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _plain_types(part)


def _range(field: FieldInfo, before: str = ", ") -> str:
    limits = {type(item).__name__.lower(): item for item in field.metadata}
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    parts = [
        f"{word} {getattr(limits[name], name):g}" for name, word in words.items() if name in limits
    ]
    text = " ".join(parts)
    if not text:
        return ""
    return f"{before}({text})" if before == " " else f"{before}{text}"


def _yaml(value: object) -> str:
    """Return a value in YAML's flow style."""
    plain = json.loads(json.dumps(value, default=str))
    return str(yaml.safe_dump([plain], default_flow_style=True, width=10**6)).strip()[1:-1]
