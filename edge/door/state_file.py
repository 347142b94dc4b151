"""File of a state, written by a thread: its caller never waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import read_regular, remove_leftovers, write_atomic

STATE_FILE_MAX = 64 << 20  # bytes
_CLOSE_S = 1.0
_WAITING_MAX = 256

_State = TypeVar("_State")


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


@dataclass(frozen=True, slots=True)
class _QueuedState(Generic[_State]):
    pending: PendingSave
    state: _State


class StateFile(Generic[_State]):
    """Writes the newest state; states that were replaced while they waited are not written."""

    def __init__(self, path: Path, encode: Callable[[_State], bytes]) -> None:
        self._path, self._encode = path, encode
        self._lock = threading.Condition()
        self._jobs: list[_QueuedState[_State] | Callable[[], None]] = []  # oldest first
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=path.stem, daemon=True)
        self._thread.start()

    def submit(self, state: _State) -> PendingSave:
        """Queue a state that changes no more; `done` is set when it is on disk or failed."""
        pending = PendingSave()
        if not self._add(_QueuedState(pending, state)):
            pending.end(f"{self._path}: the disk does not answer; {_WAITING_MAX} saves wait")
        return pending

    def close(self) -> None:
        """Write the waiting state, for at most a second."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        self._thread.join(_CLOSE_S)

    def _add(self, job: _QueuedState[_State] | Callable[[], None]) -> bool:
        """Queue a save, or a job that raises nothing; False if too many wait."""
        with self._lock:
            if len(self._jobs) >= _WAITING_MAX:  # the disk hangs
                return False
            self._jobs.append(job)
            self._lock.notify()
        return True

    # ---------------------------------------------------------------- thread

    def _run(self) -> None:
        with acting_as_owner(self._path.parent):
            remove_leftovers(self._path)
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._jobs or self._is_closing)
                jobs, self._jobs = self._jobs, []
            if not jobs:
                self._end()
                return
            self._do(jobs)

    def _do(self, jobs: list[_QueuedState[_State] | Callable[[], None]]) -> None:
        """Do jobs in their order; of saves that follow each other only the last is written."""
        saves: list[PendingSave] = []
        for number, job in enumerate(jobs, 1):
            if not isinstance(job, _QueuedState):
                job()
                continue
            saves.append(job.pending)
            if number == len(jobs) or not isinstance(jobs[number], _QueuedState):
                error = self._write(job.state)
                for pending in saves:
                    pending.end(error)
                saves = []

    def _write(self, state: _State) -> str:
        """Write a state; return why it was not written."""
        try:
            with acting_as_owner(self._path.parent):
                write_atomic(self._path, self._encode(state))
                self._note_written()
        except Exception as error:  # the next state must still be written
            reason = getattr(error, "strerror", None) or str(error)
            return f"{self._path}: cannot be written: {reason}; check the disk and its space"
        return ""

    def _note_written(self) -> None:
        """Note that the file was written. May raise OSError: the save then fails."""

    def _end(self) -> None:
        """Release what the thread holds."""


def encode_json(state: dict[str, Any]) -> bytes:
    """Return a JSON text, made in parts: one call would hold the interpreter lock for long."""
    return "".join(json.JSONEncoder(ensure_ascii=False).iterencode(state)).encode()


def load_state(path: Path) -> tuple[bool, object]:
    """Return if there is a file, and its JSON value; None if it cannot be read."""
    try:
        return True, json.loads(read_regular(path, STATE_FILE_MAX))
    except FileNotFoundError:
        return False, None
    except (OSError, ValueError, RecursionError):
        return True, None
