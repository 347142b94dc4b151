"""Descriptions of mistakes in a configuration file, with key, line and what is accepted."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from edge.errors import describe_source, without_credentials

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """Line of a value; `file` is None in the file that was asked for."""

    line: int
    file: Path | None = None

    def __str__(self) -> str:
        return f"line {self.line}" if self.file is None else f"{self.file}, line {self.line}"

    @property
    def order(self) -> tuple[str, int]:
        """Key for sorting: the requested file first, then by line."""
        return "" if self.file is None else str(self.file), self.line


@dataclass(frozen=True, slots=True)
class Renamed:
    """New names of dotted keys and of values of a key."""

    keys: Mapping[str, str]
    values: Mapping[tuple[str, str], str]


_SHOWN = 60

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (in quotation marks)",
    "path_type": "a path",
    "tuple_type": "a list such as [a, b]",
    "list_type": "a list such as [a, b]",
    "dict_type": "a section with keys",
    "model_type": "a section with keys",
    "model_attributes_type": "a section with keys",
    "date_type": "a day such as 2031-05-01",
    "date_parsing": "a day such as 2031-05-01",
    "date_from_datetime_parsing": "a day such as 2031-05-01",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_pattern_mismatch": "text of the form {pattern}",
    "union_tag_invalid": "{expected_tags}",
    "literal_error": "{expected}",
}


def describe_validation(
    error: ValidationError,
    model: type[BaseModel] | None = None,
    value: Any = None,
    lines: Mapping[Place, SourceLine] | None = None,
    renamed: Renamed | None = None,
) -> str:
    """Describe every problem as `section.key (line N): expected ..., found ...`, sorted by line.

    With the model and the validated value the advice names keys, else only the place.
    """
    renamed = renamed or Renamed({}, {})
    fields = dict(_fields(model, "")) if model else {}
    findings: dict[str, tuple[SourceLine | None, dict[str, None], str]] = {}
    for item in error.errors(include_url=False):
        place = _written(item["loc"], value) if model else item["loc"]
        if item["type"] in ("union_tag_not_found", "union_tag_invalid"):
            place = (*place, item["ctx"]["discriminator"].strip("'"))
        key = ".".join(_shown_key(part) for part in place) or "file"
        phrase, found = _phrase(item, key, fields, renamed)
        position = (lines or {}).get(place)
        findings.setdefault(key, (position, {}, found))[1][phrase] = None
    ordered = sorted(findings.items(), key=lambda each: _order(each[1][0]))
    return without_credentials(format_problems([_sentence(key, *rest) for key, rest in ordered]))


def _order(position: SourceLine | None) -> tuple[str, int]:
    return ("", 0) if position is None else position.order


def format_problems(problems: Sequence[str]) -> str:
    """Return one problem as it is, several on a line each."""
    if len(problems) == 1:
        return problems[0]
    return "\n  ".join([f"{len(problems)} problems:", *problems])


def _sentence(
    key: str, position: SourceLine | None, phrases: Mapping[str, None], found: str
) -> str:
    where = key if position is None else f"{key} ({position})"
    first, *others = phrases
    words = " or ".join([first, *(phrase.removeprefix("expected ") for phrase in others)])
    return f"{where}: {words}{f', found {found}' if found and 'found ' not in words else ''}"


def _phrase(
    item: Any, key: str, fields: Mapping[str, FieldInfo], renamed: Renamed
) -> tuple[str, str]:
    """Return the mistake of a key, and the value found if it matters."""
    plain = ".".join(part for part in key.split(".") if not part.isdecimal())
    if item["type"] == "extra_forbidden" and plain in renamed.keys:
        return f"renamed; write {renamed.keys[plain]}", ""
    if value := renamed.values.get((plain, str(item["input"]))):
        return f"renamed; write {value}", _shown(item)
    if item["type"] == "extra_forbidden":
        return f"unknown key; {_advice(plain, fields)}", ""
    if item["type"] == "missing" and isinstance(item["loc"][-1], int):
        return "expected more entries", f"{len(item['input'])}"
    if item["type"] in ("missing", "union_tag_not_found"):
        return f"required; {_purpose(plain, fields.get(plain))}", ""
    if item["type"] == "value_error" and isinstance(item["input"], (dict, list)):
        return _expectation(item), ""  # the message of a section names the values
    return _expectation(item), _shown(item)


def _expectation(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    if kind not in _EXPECTED:
        return f"{item['msg'][0].lower()}{item['msg'][1:]}"
    words = {
        name: value.replace("'", "") if isinstance(value, str) else value
        for name, value in context.items()
    }
    return f"expected {_EXPECTED[kind].format(**words)}{_similar(item)}"


def _similar(item: Any) -> str:
    """Return advice on the accepted word that a wrong one resembles."""
    context = item.get("ctx", {})
    accepted = str(context.get("expected_tags") or context.get("expected") or "").replace("'", "")
    words = accepted.replace(" or ", ", ").split(", ")
    wrong = str(context.get("tag") or item["input"])
    close = difflib.get_close_matches(wrong, words, 1) if accepted else []
    return f" (did you mean {close[0]}?)" if close else ""


def _advice(key: str, fields: Mapping[str, FieldInfo]) -> str:
    """Return advice on an unknown key."""
    section, _, name = key.rpartition(".")
    if key in fields:
        return f"it belongs to another `kind` of {section}; remove it"
    here = [known.rpartition(".")[2] for known in fields if known.rpartition(".")[0] == section]
    if close := difflib.get_close_matches(name, here, 1, 0.7):
        return f'did you mean "{close[0]}"?'
    if elsewhere := [known for known in fields if known.rpartition(".")[2] == name]:
        return f"it belongs to another place: {' or '.join(elsewhere[:3])}"
    leaves = {known.rpartition(".")[2]: known for known in reversed(list(fields))}
    if close := difflib.get_close_matches(name, leaves, 1, 0.7):
        return f'did you mean "{leaves[close[0]]}"?'
    return f"known here are {', '.join(here)}; remove it" if here else "remove it"


def _purpose(key: str, field: FieldInfo | None) -> str:
    """Return advice on a missing key."""
    if field is None:
        return "write it"
    if words := dict.fromkeys(accepted_words(field)):
        return f"write one of {', '.join(words)}"
    if field.examples:
        return f"for example {key.rpartition('.')[2]}: {field.examples[0]}"
    return field.description or "write it"


def _written(place: Sequence[str | int], value: Any) -> Place:
    """Return a place as in the file: without the tags that pydantic adds for unions."""
    found: list[str | int] = []
    for i, part in enumerate(place):
        if isinstance(value, dict) and isinstance(part, str):
            if part in value:
                value = value[part]
            elif i < len(place) - 1:
                continue
            found.append(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
            found.append(part)
    return tuple(found)


def _shown(item: Any) -> str:
    found = item["input"]
    if item["type"] == "union_tag_invalid":
        return _text(item["ctx"]["tag"])
    if isinstance(found, dict):
        return "a section"
    return "a list" if isinstance(found, list) else _text(found)


def _text(found: Any) -> str:
    """Return a value as YAML writes it, a camera's source without secrets."""
    if found is None:
        return "nothing"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, str) and ("://" in found or "@" in found or "!" in found):
        found = describe_source(found)
    shown = repr(found)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _shown_key(part: str | int) -> str:
    text = without_credentials(str(part))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def accepted_words(annotation: Any) -> tuple[str, ...]:
    """Return the words that a field accepts."""
    if isinstance(annotation, FieldInfo):
        annotation = annotation.annotation
    if get_origin(annotation) is Literal:
        return tuple(word for word in get_args(annotation) if isinstance(word, str))
    return tuple(word for part in get_args(annotation) for word in accepted_words(part))


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield all dotted keys with their fields, including those of every `kind` of a section."""
    merged: dict[str, list[FieldInfo]] = {}
    for name, info in model.model_fields.items():
        yield f"{prefix}{name}", info
        for section in section_models(info.annotation):
            for key, inner in _fields(section, f"{prefix}{name}."):
                merged.setdefault(key, []).append(inner)
    for key, infos in merged.items():
        if len(infos) > 1 and all(accepted_words(info) for info in infos):
            words = tuple(dict.fromkeys(word for info in infos for word in accepted_words(info)))
            yield key, FieldInfo(annotation=Literal[words])  # type: ignore[arg-type]
        else:
            yield key, infos[0]


def section_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the section models of an annotation, behind unions, lists and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, list):
        for part in get_args(annotation):
            yield from section_models(part)
