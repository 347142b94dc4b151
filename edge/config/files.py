"""Files of a configuration: a YAML file, and those that it extends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import ConfigError
from edge.parsing import YAML_SIZE_MAX, Document, read_yaml
from edge.system.atomic_files import read_regular
from edge.validation_messages import Place

EXTENDS = "extends"
_FILES_MAX = 8
_KINDS: dict[type, str] = {list: "a list", type(None): "nothing"}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """Content of a configuration, merged of its files; the requested file is the first."""

    document: Document
    paths: tuple[Path, ...]

    def folder(self, place: Place) -> Path:
        """Return the folder from which a relative path at a place is resolved."""
        position = self.document.lines.get(place)
        file = None if position is None else position.file
        return (file or self.paths[0]).resolve().parent


def read_config_files(path: Path) -> ConfigFiles:
    """Read a file and those that it extends; raises ConfigError with the file that is wrong.

    Mappings are merged key by key; any other value replaces that of the extended file.
    """
    paths, documents = [path], [_read(path, "; docs/configuration.md has an example")]
    while (base := _extended_path(documents[-1], paths)) is not None:
        try:
            documents.append(_located(_read(base), base))
        except ConfigError as error:
            raise ConfigError(f"{error}; {paths[-1]} extends this file") from error
        paths.append(base)
    return ConfigFiles(reduce(_merge, reversed(documents)), tuple(paths))


def find_extending(path: Path) -> list[Path]:
    """Return the readable YAML files in the folder of a file that extend it, sorted by name."""
    target, found = os.path.realpath(path), []
    for other in sorted(path.parent.glob("*.yaml")):
        with contextlib.suppress(ConfigError):
            if target in map(os.path.realpath, read_config_files(other).paths[1:]):
                found.append(other)
    return found


def _read(path: Path, advice: str = "") -> Document:
    try:
        content = read_regular(Path(os.path.realpath(path)), YAML_SIZE_MAX)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the configuration ({why}){advice}") from error
    try:
        document = read_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(document.value, dict):
        found = _KINDS.get(type(document.value), "a single value")
        raise ConfigError(f"{path}: expected keys such as `camera:` and `bundle:`, found {found}")
    return document


def _extended_path(document: Document, paths: list[Path]) -> Path | None:
    """Return the file that the last one extends, None if there is none; raises ConfigError."""
    if EXTENDS not in document.value:
        return None
    name, path = document.value[EXTENDS], paths[-1]
    where = f"{path}: {EXTENDS} (line {document.lines[(EXTENDS,)].line})"
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigError(f"{where}: expected the path of a file such as terminal.yaml")
    base = path.resolve().parent / name
    if os.path.realpath(base) in map(os.path.realpath, paths):
        raise ConfigError(
            f"{where}: {base} is extended by itself: {' -> '.join(map(str, [*paths, base]))}; "
            "remove one of these keys"
        )
    if len(paths) == _FILES_MAX:
        raise ConfigError(f"{where}: more than {_FILES_MAX} files extend each other; join some")
    return base


def _located(document: Document, path: Path) -> Document:
    """Return the document with its file in all positions."""
    lines = {place: replace(at, file=path) for place, at in document.lines.items()}
    return replace(document, lines=lines)


def _merge(base: Document, document: Document) -> Document:
    """Return the values of a document over those of the one that it extends."""
    replaced: set[Place] = set()
    value = _merge_mappings(base.value, document.value, (), replaced)
    return Document(
        value,
        {**_without(base.lines, replaced), **document.lines},
        {**_without(base.switches, replaced), **document.switches},
    )


def _merge_mappings(
    base: dict[str, Any], values: dict[str, Any], place: Place, replaced: set[Place]
) -> dict[str, Any]:
    """Return merged mappings; add the places whose values are replaced."""
    merged = dict(base)
    for key, value in values.items():
        here, old = (*place, key), base.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merged[key] = _merge_mappings(old, value, here, replaced)
        else:
            merged[key] = value
            replaced.add(here)
    return merged


def _without(values: Mapping[Place, _T], replaced: set[Place]) -> dict[Place, _T]:
    """Return what is at other places than the replaced ones and their parts."""
    return {
        place: value
        for place, value in values.items()
        if not any(place[:length] in replaced for length in range(1, len(place) + 1))
    }
