"""Reload of the configuration in a thread: files and account databases may be slow."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from edge.config import TerminalConfig, load_config
from edge.door.settings import DoorSettings, build_settings
from edge.errors import ConfigError, MfsaError

_THREADS_MAX = 4  # threads that may hang on a disk

_Loaded = tuple[TerminalConfig, DoorSettings]


class ConfigReloader:
    """Loads the configuration in a thread; of several requests only the latest one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: queue.SimpleQueue[tuple[int, _Loaded | MfsaError]] = queue.SimpleQueue()
        self._newest = 0  # number of the latest request
        self._started = 0  # latest request that a thread handles
        self._threads = 0

    def start(self) -> None:
        """Request a reload; returns at once."""
        self._newest += 1
        if self._threads < _THREADS_MAX:
            self._start_thread()

    def poll(self) -> _Loaded | None:
        """Return the result of the latest request once, None if there is none yet.

        Raises MfsaError if the configuration cannot be used.
        """
        while True:
            try:
                number, result = self._results.get_nowait()
            except queue.Empty:
                return None
            self._threads -= 1
            if self._started < self._newest:
                self._start_thread()
            if number != self._newest:
                continue
            if isinstance(result, MfsaError):
                raise result
            return result

    def _start_thread(self) -> None:
        self._started = self._newest
        self._threads += 1
        threading.Thread(
            target=self._load, args=(self._newest,), name="configuration", daemon=True
        ).start()

    def _load(self, number: int) -> None:
        result: _Loaded | MfsaError
        try:
            config = load_config(self._path)
            settings = build_settings(config)
            settings.check_accounts()
            result = config, settings
        except MfsaError as error:
            result = error
        except Exception as error:  # the request must get an answer
            result = ConfigError(f"{self._path}: cannot be loaded: {error!r}")
        self._results.put((number, result))
