"""File of a state in JSON, written by a thread: its caller never waits."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import read_regular, remove_leftovers, write_atomic

log = logging.getLogger(__name__)

_FILE_MAX = 64 << 20  # bytes
_CLOSE_S = 1.0
_WAITING_MAX = 256


class PendingSave:
    """State on its way to the disk."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error = ""  # why it was not written; empty if it was

    @property
    def written(self) -> bool:
        """True if this state, or a newer one, is on disk."""
        return self.done.is_set() and not self.error

    def end(self, error: str) -> None:
        """Note that the state is on disk, or why it is not."""
        self.error = error
        self.done.set()


class StateFile:
    """Writes the newest state; states that were replaced while they waited are not written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Condition()
        self._state: dict[str, Any] | None = None  # waits to be written
        self._waiting: list[PendingSave] = []
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=path.stem, daemon=True)
        self._thread.start()

    def submit(self, state: dict[str, Any]) -> PendingSave:
        """Queue a state; `done` is set when it is on disk or failed."""
        pending = PendingSave()
        with self._lock:
            self._state = state
            if len(self._waiting) >= _WAITING_MAX:  # the disk hangs
                pending.end(f"{self._path}: the disk does not answer; {_WAITING_MAX} saves wait")
                return pending
            self._waiting.append(pending)
            self._lock.notify()
        return pending

    def close(self) -> None:
        """Write the waiting state, for at most a second."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        with acting_as_owner(self._path.parent):
            remove_leftovers(self._path)
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._state is not None or self._is_closing)
                state, waiting = self._state, self._waiting
                self._state, self._waiting = None, []
            if state is None:
                return
            error = self._write(state)
            for pending in waiting:
                pending.end(error)

    def _write(self, state: dict[str, Any]) -> str:
        try:
            with acting_as_owner(self._path.parent):
                # In parts: one call for thousands of people would hold the interpreter lock.
                text = "".join(json.JSONEncoder(ensure_ascii=False).iterencode(state))
                write_atomic(self._path, text.encode())
        except Exception as error:  # the next state must still be written
            reason = getattr(error, "strerror", None) or str(error)
            return f"{self._path}: cannot be written: {reason}; check the disk and its space"
        return ""


def load_state(path: Path) -> tuple[bool, object]:
    """Return if there is a file, and its JSON value; None if it cannot be read."""
    try:
        return True, json.loads(read_regular(path, _FILE_MAX))
    except FileNotFoundError:
        return False, None
    except (OSError, ValueError, RecursionError):
        return True, None
