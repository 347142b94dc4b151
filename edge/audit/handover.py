"""One record that a command hands to the process that writes the log, by a file beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from edge.audit.fields import Fields
from edge.durable import sync_folder, write_whole
from edge.errors import RecordError

_BYTES_MAX = 1 << 16
_FIELDS = frozenset({"event", "subject", "other", "operator", "note"})


def leave(path: Path, fields: Fields) -> None:
    """Leave fields for the writer, durable on return; raises RecordError."""
    try:
        write_whole(path, json.dumps(fields).encode())
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror}") from error


def read(path: Path) -> Fields | None:
    """Read what was left, None if there is nothing; raises RecordError for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        try:
            found = json.loads(file.read(_BYTES_MAX))
            if not all(isinstance(text, str) for text in (*found, *found.values())):
                raise ValueError("a value that is not text")
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise RecordError(f"{path}: not a record to be written: {error}") from error
    return {name: text for name, text in found.items() if name in _FIELDS}


def take_back(path: Path) -> bool:
    """Remove what was left; return False if the writer has taken it. Raises RecordError."""
    try:
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RecordError(f"{path}: cannot be removed: {error.strerror}") from error
    return True
