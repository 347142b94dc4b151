"""File of the position up to which the broker has acknowledged events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge.console.records.cursor import CURSOR_MAX, EventId, format_cursor, parse_cursor
from edge.errors import RecordError
from edge.system.atomic_files import read_regular, write_atomic

NAME = "mqtt.cursor"  # in the folder of the console


class CursorFile:
    """Position in all logs, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, EventId] | None:
        """Return the position; None before the first event. Raises RecordError."""
        try:
            text = read_regular(self.path, CURSOR_MAX + 1).decode("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(
                f"{self.path}: cannot be read: {error}; {_remedy(self.path)}"
            ) from error
        try:
            return parse_cursor(text)
        except RecordError as error:
            raise RecordError(f"{self.path}: {error}; {_remedy(self.path)}") from error

    def write(self, cursor: Mapping[str, EventId]) -> None:
        """Replace the position; on disk on return. Raises RecordError."""
        try:
            write_atomic(self.path, format_cursor(cursor).encode() + b"\n")
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot be written: {error.strerror}; is the disk full?"
            ) from error


def _remedy(path: Path) -> str:
    return f"remove it, then events are sent from now on: rm {path}"
