"""Files of a model bundle, named by its manifest, read without links. Standard library only.

A bundle may come from another party, and root copies it: nothing outside its folder is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from edge.errors import BundleError
from edge.system.atomic_files import NotRegularError, open_regular
from edge.system.digest import SHA256_PATTERN, stream_digest
from edge.system.strict_json import read_json

MANIFEST = "manifest.json"
# Written by mfsa-bundle in addition to the files that the manifest lists.
COMPANIONS = ("LICENSE", "LICENSE.detector", "MODEL_CARD.md")
MANIFEST_BYTES_MAX = 4 << 20
FILE_BYTES_MAX = 1 << 30
FILES_MAX = 100
_DEPTH_MAX = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(SHA256_PATTERN)
_AGAIN = "make the bundle again with mfsa-bundle"


@contextmanager
def open_file(path: Path, limit: int = FILE_BYTES_MAX, remedy: str = _AGAIN) -> Iterator[BinaryIO]:
    """Open a regular file of at most `limit` bytes; raises BundleError for links and others."""
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        raise BundleError(f"{path}: missing from the bundle; {remedy}") from None
    except NotRegularError as error:
        found = _kind(path.lstat())
        raise BundleError(f"{path}: expected a regular file, found {found}; {remedy}") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size > limit:
            raise BundleError(f"{path}: {size:,} bytes, at most {limit:,} are accepted; {remedy}")
        yield file


def read_file(path: Path, limit: int = FILE_BYTES_MAX, remedy: str = _AGAIN) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; raises BundleError."""
    with open_file(path, limit, remedy) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BundleError(f"{path}: the file grew while it was read; copy the bundle again")
    return content


def read_fields(folder: Path) -> dict[str, Any]:
    """Read the manifest as plain JSON with checked file names; raises BundleError."""
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        raise BundleError(
            f"{folder}: no model bundle found; make one with: mfsa-bundle make {folder}"
        )
    try:
        fields = read_json(read_file(path, MANIFEST_BYTES_MAX))
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON ({error}); {_AGAIN}") from error
    if not isinstance(fields, dict):
        raise BundleError(f"{path}: expected an object, found {type(fields).__name__}; {_AGAIN}")
    _check_depth(path, fields)
    _check_names(path, fields.get("files", {}))
    return fields


def listed_files(folder: Path) -> dict[str, str]:
    """Return SHA-256 by file name, as the manifest lists them; raises BundleError."""
    entries = read_fields(folder).get("files")
    if not isinstance(entries, dict) or not entries:
        raise BundleError(f"{folder / MANIFEST}: lists no files; {_AGAIN}")
    digests = {name: _listed_digest(entry) for name, entry in entries.items()}
    for name, digest in digests.items():
        if not _SHA256.fullmatch(digest):
            raise BundleError(f"{folder / MANIFEST}: {name} has no sha256; {_AGAIN}")
    return digests


def copied_files(folder: Path) -> dict[str, str]:
    """Return SHA-256 by name of all files that a copy of the bundle has; raises BundleError.

    Links, folders and devices in the bundle, and files with another digest, are refused.
    """
    listed = listed_files(folder)
    present = _regular_files(folder)
    names = (MANIFEST, *listed, *(name for name in COMPANIONS if name in present))
    found = {name: _digest(folder / name) for name in names}
    for name, digest in listed.items():
        check_digest(folder / name, found[name], digest)
    return found


def copy_bundle(source: Path, target: Path) -> list[str]:
    """Copy a bundle into an empty folder; return the names that were left out.

    Raises BundleError as `copied_files`, also if a file changes during the copy.
    """
    digests = copied_files(source)
    for name, digest in digests.items():
        check_digest(source / name, _copy(source / name, target / name), digest)
    return sorted(_regular_files(source) - digests.keys())


def is_copy(source: Path, target: Path) -> bool:
    """Return True if a folder holds all files of a bundle; raises BundleError for a bad source."""
    digests = copied_files(source)
    try:
        return all(_digest(target / name) == digest for name, digest in digests.items())
    except BundleError:
        return False


def check_digest(file: Path, found: str, expected: str) -> None:
    """Raise BundleError if the digest of a file is not the expected one."""
    if found != expected:
        raise BundleError(
            f"{file}: sha256 is {found[:12]}..., the manifest says {expected[:12]}...: "
            f"the file was changed or damaged; {_AGAIN}"
        )


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with open_file(source) as file, target.open("xb") as copy:
        target.chmod(0o644)
        while block := file.read(1 << 20):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    """Return the SHA-256 of a regular file of a bundle, as hex; raises BundleError."""
    with open_file(path) as file:
        return stream_digest(file)


def _regular_files(folder: Path) -> set[str]:
    """Return the names of the files in a folder; raises BundleError if one is not regular."""
    names: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(
                    f"{entry.path!r}: expected regular files only, found {_kind(status)}; "
                    "remove it from the bundle"
                )
            names.add(entry.name)
    return names


def _kind(status: os.stat_result) -> str:
    tests = {
        "a link": stat.S_ISLNK,
        "a folder": stat.S_ISDIR,
        "a named pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
    }
    return next((kind for kind, test in tests.items() if test(status.st_mode)), "a device")


def _check_depth(path: Path, fields: object) -> None:
    level: list[object] = [fields]
    for _ in range(_DEPTH_MAX):
        level = [part for value in level for part in _parts(value)]
        if not level:
            return
    raise BundleError(f"{path}: nested more than {_DEPTH_MAX} levels deep; {_AGAIN}")


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_names(path: Path, files: object) -> None:
    names = list(files) if isinstance(files, dict) else []
    if len(names) > FILES_MAX:
        raise BundleError(
            f"{path}: lists {len(names)} files, at most {FILES_MAX} are accepted; {_AGAIN}"
        )
    for name in names:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise BundleError(
                f"{path}: expected plain file names, found {ascii(name)[:100]}; {_AGAIN}"
            )


def _listed_digest(entry: object) -> str:
    digest = entry.get("sha256") if isinstance(entry, dict) else None
    return digest if isinstance(digest, str) else ""
