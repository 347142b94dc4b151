"""Roster of a bulk enrollment: a CSV file or a folder of folders, accepted completely or not."""

from __future__ import annotations

import codecs
import csv
import io
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from edge.errors import ConfigError, GalleryError
from edge.gallery.enrollment.attributes import SubjectAttributes, parse_words
from edge.names import check_name, is_printable, name_key, normalize_name, parse_groups
from edge.parsing import parse_day
from edge.photofile import ENDINGS, is_picture_name
from edge.subject import SETTABLE_RIGHTS, RightsChange
from edge.system.leftovers import is_leftover

_FILE_BYTES_MAX = 64 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_OTHER_SEPARATORS = ("|", ":")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run such a cell


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """Person to enroll, with photos, attributes and rights."""

    subject: str
    photos: tuple[Path, ...]
    attributes: SubjectAttributes
    rights: RightsChange = field(default_factory=dict)


def _parse_flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ConfigError(f"expected yes or no, found {text!r}")
    return text == "yes"


def _parse_names(text: str) -> tuple[str, ...]:
    names = (normalize_name(part) for part in text.split(";"))
    return tuple(dict.fromkeys(name for name in names if name))


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ConfigError(f"expected {' or '.join(words)}, found {text!r}")
        return text

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "groups": parse_groups,
    "valid_from": parse_day,
    "valid_until": parse_day,
    "extended": _parse_flag,
    "mask": _one_of("as-configured", "any"),
    "liveness": _one_of("as-configured", "no-challenge"),
    "consent": parse_words,
    "erase_on": parse_day,
    "not_a_duplicate": _parse_names,
    "reason": parse_words,
}
_FIELDS = {"not_a_duplicate": "not_duplicates"}  # columns with another name in SubjectAttributes
COLUMNS = ("subject", "photos", *_PARSERS)


def read_roster(source: Path, photos: Path | None) -> list[RosterEntry]:
    """Read the people of a CSV file with a folder of photos, or of a folder of people's folders.

    Raises ConfigError that names all invalid lines.
    """
    if source.is_dir():
        if photos is not None:
            raise ConfigError(f"{source}: is a folder of photos itself; leave out --photos")
        return _read_folders(source)
    if photos is None or not photos.is_dir():
        raise ConfigError(
            f"expected the folder of the photos as --photos FOLDER, found {photos or 'none'}"
        )
    errors: list[str] = []
    entries = list(_read_lines(_read_text(source), photos, errors))
    _raise_errors(source, errors)
    if not entries:
        raise ConfigError(
            f"{source}: the list is empty; expected a line for each person below the header"
        )
    return entries


def _raise_errors(source: Path, errors: Sequence[str]) -> None:
    if errors:
        raise ConfigError(
            "\n  ".join([f"{source}: no one enrolled; {len(errors)} invalid entries:", *errors])
        )


def _read_text(source: Path) -> str:
    try:
        if source.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigError(
                f"{source}: larger than the {_FILE_BYTES_MAX >> 20} MiB a list of people may have"
            )
        encoded = source.read_bytes()
        return encoded.decode("utf-16" if encoded.startswith(_UTF16_MARKS) else "utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{source}: neither UTF-8 nor UTF-16 text (byte {error.start}); save it as CSV UTF-8"
        ) from error


def _read_lines(text: str, folder: Path, errors: list[str]) -> Iterator[RosterEntry]:
    """Yield the entries of valid lines; errors of the others are appended to `errors`."""
    try:
        separator, skipped, rest = _separator_of(text)
    except ConfigError as error:
        errors.append(str(error))
        return
    reader = csv.reader(io.StringIO(rest, newline=""), strict=True, delimiter=separator)
    subjects: dict[str, int] = {}
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        errors += [f"line {1 + skipped}: {words}" for words in _check_header(header)]
        if errors:
            return
        for cells in reader:
            line = reader.line_num + skipped
            if not any(cell.strip() for cell in cells):
                continue
            try:
                entry = _read_cells(header, cells, folder, separator)
                key = name_key(entry.subject)
                if key in subjects:
                    raise ConfigError(
                        f"subject: {entry.subject!r} is in line {subjects[key]} already"
                    )
                subjects[key] = line
                yield entry
            except ConfigError as error:
                errors.append(f"line {line}: {error}")
    except csv.Error as error:
        errors.append(f"line {reader.line_num + skipped}: not CSV: {error}")


def _separator_of(text: str) -> tuple[str, int, str]:
    """Return the separator, the number of lines before the header, and the text from there on.

    A first line such as `sep=;` decides, else the header. Raises ConfigError that names a separator
    that is not supported.
    """
    first, _, rest = text.partition("\n")
    if first.strip().strip('"').lower().startswith("sep="):
        separator = first.strip("\r").strip('"')[4:]
        if separator not in _SEPARATORS:
            raise ConfigError(f"line 1: cells are separated by {separator!r}; {_expected()}")
        return separator, 1, rest
    found = max(_SEPARATORS, key=lambda one: len(set(COLUMNS) & set(_split(first, one))))
    for other in _OTHER_SEPARATORS:
        if "subject" in _split(first, other) and "subject" not in _split(first, found):
            raise ConfigError(f"line 1: cells are separated by {other!r}; {_expected()}")
    return found, 0, text


def _split(line: str, separator: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.split(separator)]


def _expected() -> str:
    return f"expected {', '.join(_SEPARATORS.values())}: save it as CSV UTF-8"


def _check_header(header: Sequence[str]) -> Iterator[str]:
    if "subject" not in header:
        yield f"expected a header with the column subject, found {', '.join(header) or 'nothing'}"
        return
    for name in dict.fromkeys(header):
        if name not in COLUMNS:
            yield f"unknown column {name!r}; known are {', '.join(COLUMNS)}"
        elif header.count(name) > 1:
            yield f"column {name!r} appears {header.count(name)} times"


def _read_cells(
    header: Sequence[str], cells: Sequence[str], folder: Path, separator: str
) -> RosterEntry:
    """Return the entry of a line; raises ConfigError that names all invalid cells."""
    if len(cells) != len(header):
        hint = f"; a cell that holds {separator!r} must be in double quotes"
        raise ConfigError(
            f"expected {len(header)} cells, found {len(cells)}"
            f"{hint if len(cells) > len(header) else ''}"
        )
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    attributes, errors = _parse_attributes(row)
    photos: tuple[Path, ...] = ()
    try:
        check_name(row["subject"])
        listed = [part.strip() for part in row.get("photos", "").split(";")]
        photos = _find_photos(folder, listed if row.get("photos") else [row["subject"]])
    except GalleryError as error:
        errors.append(f"subject: {error}")
    except ConfigError as error:
        errors.append(f"photos: {error}")
    if errors:
        raise ConfigError("; ".join(errors))
    rights = {name: attributes.pop(name) for name in SETTABLE_RIGHTS if name in attributes}
    subject = normalize_name(row["subject"])
    return RosterEntry(subject, photos, SubjectAttributes(**attributes), rights)


def _parse_attributes(row: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the attributes and rights that a line sets, and its errors."""
    found: dict[str, Any] = {}
    errors = [
        f"{name}: {cell[:20]!r} begins like a formula"
        for name, cell in row.items()
        if cell.startswith(_FORMULA)
    ]
    for name, cell in row.items():
        if not cell or cell.startswith(_FORMULA) or name in ("subject", "photos"):
            continue
        try:
            found[_FIELDS.get(name, name)] = _PARSERS[name](cell)
        except ConfigError as error:
            errors.append(f"{name}: {error}")
    first, last = found.get("valid_from"), found.get("valid_until")
    if first and last and first > last:
        errors.append(f"valid_from: {first} is after valid_until")
    if bool(found.get("not_duplicates")) != bool(found.get("reason")):
        errors.append("not_a_duplicate: expected together with a reason")
    return found, errors


def _find_photos(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Return files by name, and all pictures of folders. Raises ConfigError."""
    found: list[Path] = []
    for name in names:
        path = _inside(folder, name)
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = 0
        except OSError as error:
            raise ConfigError(
                f"{name[:40]}: cannot be read in {folder}: {error.strerror}"
            ) from error
        if stat.S_ISDIR(mode):
            found += _pictures(folder, path)
        elif stat.S_ISREG(mode):
            found.append(path)
        else:
            raise ConfigError(f"{name}: no such file or folder in {folder}")
    if len(set(found)) < len(found):
        raise ConfigError("a photo is named twice")
    return tuple(found)


def _inside(folder: Path, name: str) -> Path:
    """Return a path in the folder for a name in any spelling; raises ConfigError outside it."""
    relative = PurePosixPath(name)
    if (
        not name
        or relative.is_absolute()
        or ".." in relative.parts
        or "\\" in name
        or not is_printable(normalize_name(name))
    ):
        raise ConfigError(f"{name!r}: expected a name within {folder}")
    path = folder
    for part in relative.parts:
        path = path / _as_spelled(path, part)
    return _check_inside(folder, path, name)


def _check_inside(folder: Path, path: Path, name: str) -> Path:
    """Return the path; raises ConfigError if it leaves the folder, also by a link."""
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        is_inside = False
    if not is_inside:
        raise ConfigError(f"{name!r}: leads out of {folder}")
    return path


def _as_spelled(folder: Path, part: str) -> str:
    """Return a name in the folder's Unicode form; raises ConfigError for two forms of it."""
    try:
        found = _spellings(folder, folder.stat().st_mtime_ns).get(name_key(part), ())
    except OSError:
        return part
    if len(found) > 1:
        listed = ", ".join(map(ascii, found))
        raise ConfigError(f"{part!r}: {folder} has this name in two spellings: {listed}; keep one")
    return found[0] if found else part


@lru_cache(maxsize=64)
def _spellings(folder: Path, changed_at: int) -> dict[str, list[str]]:
    """Return the names in a folder by their keys. Raises OSError."""
    found: dict[str, list[str]] = {}
    for path in folder.iterdir():
        found.setdefault(name_key(path.name), []).append(path.name)
    return found


def _pictures(folder: Path, of: Path) -> list[Path]:
    """Return the pictures of a subject's folder, by name; raises ConfigError without any."""
    return [_check_inside(folder, path, path.name) for path in list_pictures(of)]


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name; raises ConfigError without any."""
    try:
        found = sorted(path for path in folder.iterdir() if is_picture_name(path.name))
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be listed: {error.strerror}") from error
    if not found:
        raise ConfigError(f"{folder}: no photos in it ({', '.join(ENDINGS)})")
    return found


def _read_folders(source: Path) -> list[RosterEntry]:
    errors: list[str] = []
    entries: list[RosterEntry] = []
    try:
        paths = sorted(path for path in source.iterdir() if not is_leftover(path.name))
    except OSError as error:
        raise ConfigError(f"{source}: cannot be listed: {error.strerror}") from error
    if not any(path.is_dir() for path in paths) and any(is_picture_name(p.name) for p in paths):
        raise ConfigError(
            f"{source}: photos and no folders in it; expected a folder for each person. "
            f"All of one person? edge-enroll --subject NAME {source}"
        )
    for path in paths:
        if not path.is_dir():
            if is_picture_name(path.name):
                errors.append(f"{path.name}: expected a folder for each person, found a photo")
            continue
        try:
            check_name(path.name)
            subject = normalize_name(path.name)
            entries.append(
                RosterEntry(subject, _find_photos(source, [path.name]), SubjectAttributes())
            )
        except (ConfigError, GalleryError) as error:
            errors.append(f"{path.name}: {error}")
    _raise_errors(source, errors)
    if not entries:
        raise ConfigError(
            f"{source}: no people in it; expected a folder for each person, with their photos"
        )
    return entries
