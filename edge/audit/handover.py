"""Handover of one record by file from a command to the process that writes the audit log."""

from __future__ import annotations

import json
from pathlib import Path

from edge.audit.record_fields import Fields
from edge.errors import RecordError
from edge.system.atomic_files import read_regular, sync_folder, write_atomic

_BYTES_MAX = 1 << 16
_FIELDS = frozenset({"event", "subject", "other", "operator", "note"})


def write(path: Path, fields: Fields) -> None:
    """Write fields for the writer, durable on return; raises RecordError."""
    try:
        write_atomic(path, json.dumps(fields).encode())
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror}") from error


def read(path: Path) -> Fields | None:
    """Read the fields that were left, None without a file; raises RecordError for other content."""
    try:
        content = read_regular(path, _BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        found = json.loads(content)
        if not all(isinstance(text, str) for text in (*found, *found.values())):
            raise ValueError("a value that is not text")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise RecordError(f"{path}: not a record to be written: {error}") from error
    return {name: text for name, text in found.items() if name in _FIELDS}


def remove(path: Path) -> bool:
    """Remove the file; return False if the writer has removed it already. Raises RecordError."""
    try:
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RecordError(f"{path}: cannot be removed: {error.strerror}") from error
    return True
