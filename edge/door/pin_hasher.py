"""Hashing of entered PINs in a thread: the door's loop never waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.door.credential_hashes import CredentialHasher

_WAITING_MAX = 4
DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class HashedPin:
    """Digest of a PIN that was entered at a reader; None: no memory, or too late."""

    reader: str
    digest: str | None


@dataclass(frozen=True, slots=True, repr=False)
class _Job:
    ticket: int
    hasher: CredentialHasher
    digits: str


class PinHasher:
    """Hashes PINs one by one; at most four wait. Each gets one answer, by its deadline."""

    def __init__(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        """Start the thread. `wake` is called after each result."""
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[str, float]] = {}  # reader and deadline by ticket
        self._results: list[HashedPin] = []
        self._tickets = 0
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="pins", daemon=True)
        self._thread.start()

    def start(self, reader: str, hasher: CredentialHasher, digits: str) -> bool:
        """Begin to hash a PIN; return False if too many wait."""
        with self._lock:
            self._tickets += 1
            try:
                self._jobs.put_nowait(_Job(self._tickets, hasher, digits))
            except queue.Full:
                return False
            self._waiting[self._tickets] = reader, self._clock() + DEADLINE_S
            return True

    def take(self) -> list[HashedPin]:
        """Return what is finished or late. Never waits."""
        now = self._clock()
        with self._lock:
            late = [ticket for ticket, (_, deadline) in self._waiting.items() if deadline <= now]
            results, self._results = self._results, []
            return results + [HashedPin(self._waiting.pop(ticket)[0], None) for ticket in late]

    def close(self) -> None:
        """End the thread after the PIN it hashes; the others are dropped."""
        with self._lock:
            while not self._jobs.empty():
                self._jobs.get_nowait()
            self._jobs.put_nowait(None)
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                digest: str | None = job.hasher.hash_pin(job.digits)
            except (MemoryError, ValueError):  # OpenSSL reports a lack of memory by ValueError
                digest = None
            with self._lock:
                if (waiting := self._waiting.pop(job.ticket, None)) is not None:
                    self._results.append(HashedPin(waiting[0], digest))
            self._wake()
