"""Relay and inputs as files, for laptops, demos and tests.

Like an output pin, a file keeps its level when the process ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import DoorError


class FileRelayOutput:
    """File that holds 1 while the relay is energised, else 0."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DoorError(
                f"{path}: the relay's file cannot be opened: {error.strerror}; "
                "check the folder and its rights"
            ) from error
        self._closed = False
        self.deenergise()

    def energise(self) -> None:
        self._write(b"1\n")

    def deenergise(self) -> None:
        self._write(b"0\n")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self.deenergise()
        finally:
            os.close(self._fd)

    def _write(self, level: bytes) -> None:
        try:
            os.pwrite(self._fd, level, 0)
        except OSError as error:
            raise DoorError(
                f"{self._path}: the relay's file cannot be written: {error.strerror}"
            ) from error


class FileInputLine:
    """File that holds 1 or 0; a missing file counts as inactive."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_active(self) -> bool:
        try:
            return self._path.read_text(encoding="ascii").strip() == "1"
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError) as error:
            raise DoorError(f"{self._path}: the input cannot be read: {error}") from error

    def close(self) -> None: ...
