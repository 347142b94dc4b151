"""Reload of the file of people and credentials after a change, in a thread."""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from edge.door.credentials import Credentials, load_credentials
from edge.door.credentials_file import file_version

_INTERVAL_S = 0.5
_CLOSE_S = 1.0


class PeopleWatcher:
    """Loads people at the start, and again when their file or its key changes."""

    def __init__(self, path: Path, key_path: Path) -> None:
        self._path, self._key_path = path, key_path
        self._loaded: queue.SimpleQueue[Credentials] = queue.SimpleQueue()
        self._seen = self._signature()
        self._has_loaded = False  # people, in this run
        self.credentials = self._load()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="people", daemon=True)
        self._thread.start()

    def update(self) -> bool:
        """Use the people loaded since the last call; return True if there are any. Never waits."""
        try:
            self.credentials = self._loaded.get_nowait()
        except queue.Empty:
            return False
        return True

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._stopped.wait(_INTERVAL_S):
            signature = self._signature()
            if signature != self._seen:
                self._seen = signature
                self._loaded.put(self._load())

    def _load(self) -> Credentials:
        with _outside_collector():
            loaded = load_credentials(self._path, self._key_path, is_required=self._has_loaded)
            loaded.names_by_digest()  # here, not in the door's loop
        self._has_loaded = self._has_loaded or len(loaded) > 0
        return loaded

    def _signature(self) -> tuple[str, str]:
        return file_version(self._path), file_version(self._key_path)


@contextlib.contextmanager
def _outside_collector() -> Iterator[None]:
    """Make objects that the garbage collector never visits; they must be without cycles.

    A visit to all people would hold the interpreter lock, and the door's loop, for too long.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
