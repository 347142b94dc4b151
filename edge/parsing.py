"""Strict readers of YAML and JSON: no duplicate keys, no guessed types, all mistakes located."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from edge.errors import ConfigError, without_credentials
from edge.system.strict_json import read_json
from edge.validation_messages import (
    Place,
    Renamed,
    SourceLine,
    accepted_words,
    describe_validation,
    format_problems,
)

_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=BaseModel)

_VALUES_MAX = 20_000  # also counts what aliases repeat
_DEPTH_MAX = 32
YAML_SIZE_MAX = 1 << 20
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# Truth values of YAML 1.1, text in YAML 1.2.
_SWITCHES = frozenset({"yes", "no", "on", "off"})
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL = re.compile(r"|~|null|Null|NULL")
# Without leading zeros, which YAML 1.1 reads as octal.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Document:
    """Values of a YAML text with the line of each key; `switches`: unquoted words such as off."""

    value: Any
    lines: Mapping[Place, SourceLine] = field(default_factory=dict)
    switches: Mapping[Place, str] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """YAML loader without implicit types: they are decided here, not by YAML 1.1."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        return ""  # called for nodes without a tag only


def read_yaml(text: str) -> Document:
    """Read one document of YAML 1.2 (core schema).

    Duplicate keys, tags, special numbers, more than 20,000 values and more than 32 levels are
    refused. Raises ConfigError with line and column, without the line's text: it may hold a
    password.
    """
    if len(text) > YAML_SIZE_MAX:
        raise ConfigError(f"larger than {YAML_SIZE_MAX >> 20} MiB")
    builder = _Builder()
    try:
        node = _compose(text)
        value = None if node is None else builder.build(node, ())
    except RecursionError as error:
        raise ConfigError("not valid YAML: nested too deeply") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not valid YAML: {_problem(error)}") from error
    return Document(value, builder.lines, builder.switches)


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Builder:
    """Converter of YAML nodes to values."""

    def __init__(self) -> None:
        self.lines: dict[Place, SourceLine] = {}
        self.switches: dict[Place, str] = {}
        self._count = 0

    def build(self, node: yaml.Node, place: Place) -> Any:
        self._count += 1
        if self._count > _VALUES_MAX:
            raise ConfigError(f"line {_line(node)}: more than {_VALUES_MAX:,} values")
        if len(place) > _DEPTH_MAX:
            raise ConfigError(f"line {_line(node)}: nested too deeply (over {_DEPTH_MAX} levels)")
        _refuse_tag(node)
        self.lines[place] = SourceLine(_line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        marks: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"line {_line(key_node)}: expected a word as key, found a list")
            _refuse_tag(key_node)
            key = _text(key_node)
            if key in marks:
                raise ConfigError(
                    f"{'.'.join(map(str, (*place, without_credentials(key))))}: duplicate key, "
                    f"at {_position(marks[key])} and at {_position(key_node)}; "
                    "remove one of the two"
                )
            marks[key], here = key_node, (*place, key)
            found[key] = self.build(value_node, here)
            self.lines[here] = SourceLine(_line(key_node))
        return found

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        text = _text(node)
        if getattr(node, "style", None):  # quoted, or a block
            return text
        if text.lower() in _SWITCHES:
            self.switches[place] = text
        return _plain(text)


def _text(node: yaml.Node) -> str:
    """Return the text of a scalar; raises ValueError for an escape of half a character."""
    text = str(node.value)
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"line {_line(node)}: an escape that is no character")
    return text


def _plain(text: str) -> Any:
    """Return the value of an unquoted scalar."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _refuse_tag(node: yaml.Node) -> None:
    if node.tag:
        raise ConfigError(f"line {_line(node)}: tags such as !!int are not supported; remove it")


def _position(node: yaml.Node) -> str:
    return f"line {_line(node)}, column {node.start_mark.column + 1}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _problem(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is None:
        return without_credentials(" ".join(str(error).split()))
    return without_credentials(
        f"{getattr(error, 'problem', error)}, line {mark.line + 1}, column {mark.column + 1}"
    )


def validate(model: type[_Model], document: Document, renamed: Renamed | None = None) -> _Model:
    """Build a model from a document; raises ConfigError that lists every problem with key and line.

    Types are strict: a truth value or a quoted number is no number.
    """
    try:
        found = model.model_validate_json(_as_json(document.value), strict=True)
    except ValidationError as error:
        raise ConfigError(
            describe_validation(error, model, document.value, document.lines, renamed)
        ) from error
    problems = [
        f"{'.'.join(map(str, place))} ({document.lines[place]}): found the word {word}, "
        f'which older YAML reads as a truth value; if it is meant as text, write "{word}"'
        for place, word in document.switches.items()
        if not _is_word(found, place, word)
    ]
    if problems:
        raise ConfigError(format_problems(problems))
    return found


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except RecursionError as error:
        raise ConfigError("nested too deeply") from error


def _is_word(model: object, place: Place, word: str) -> bool:
    """Return True if a field accepts this word, such as `quality: off`."""
    *path, last = place
    for part in path:
        model = (
            model[part]  # type: ignore[index]
            if isinstance(part, int)
            else getattr(model, part)
        )
    if not isinstance(model, BaseModel):
        return False
    return word in accepted_words(type(model).model_fields[str(last)].annotation)


def parse_json(kind: type[_T] | TypeAdapter[_T], text: str | bytes) -> _T:
    """Build a model from JSON, types strict; raises ValueError with every problem."""
    adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    try:
        value = read_json(text)
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from error
    model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(describe_validation(error, model, value)) from error


def parse_day(text: object) -> date:
    """Read a day such as 2031-05-01, the only form accepted anywhere; raises ConfigError."""
    try:
        if isinstance(text, str) and _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ConfigError(f"expected a day such as 2031-05-01, found {text!r}")
