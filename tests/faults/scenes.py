"""Faults: how each starts and ends, and how long it lasts."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge.audit.segments import list_segments
from tests.faults.systemd import Service
from tests.faults.terminal import Terminal

Begin = Callable[[Terminal], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """Fault that starts in a pulse and lasts `lasts_s`; 0 for an instant."""

    name: str
    begin: Begin
    lasts_s: float = 0.0


@contextmanager
def nothing(terminal: Terminal) -> Iterator[None]:
    yield


def signalled(which: str, number: signal.Signals) -> Begin:
    """Signal to a process; a stopped one continues at the end unless the watchdog killed it."""

    @contextmanager
    def begin(terminal: Terminal) -> Iterator[None]:
        service: Service = getattr(terminal, which)
        pid = service.pid
        os.kill(pid, number)
        yield
        if number is signal.SIGSTOP and service.pid == pid:
            with suppress(
                ProcessLookupError
            ):  # the watchdog may kill it between the question and the signal
                os.kill(pid, signal.SIGCONT)

    return begin


def with_file(name: str, content: str = "") -> Begin:
    """Fault of `tests.faults.hooked`."""

    @contextmanager
    def begin(terminal: Terminal) -> Iterator[None]:
        path = terminal.faults / name
        path.write_text(content)
        try:
            yield
        finally:
            path.unlink()

    return begin


@contextmanager
def full_disk(terminal: Terminal) -> Iterator[None]:
    """Audit logs cannot grow: each process is limited to their present size."""

    def limit(pid: int, size: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    records: list[tuple[Service, Path]] = [
        (terminal.door, terminal.config.door_record_path),
        (terminal.daemon, terminal.config.decisions_path),
    ]
    for service, record in records:
        limit(service.pid, list_segments(record)[-1].stat().st_size)
    yield
    for service, _ in records:
        limit(service.pid, resource.RLIM_INFINITY)


@contextmanager
def full_disk_and_killed_door(terminal: Terminal) -> Iterator[None]:
    """The door restarts while its audit log cannot grow."""
    with (
        full_disk(terminal),
        with_file("disk", str(list_segments(terminal.config.door_record_path)[-1].stat().st_size))(
            terminal
        ),
    ):
        os.kill(terminal.door.pid, signal.SIGKILL)
        yield


@contextmanager
def locked_gallery(terminal: Terminal) -> Iterator[None]:
    """A writer that does not end: with a write-ahead log it blocks writers, not readers."""
    with closing(sqlite3.connect(terminal.config.gallery_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def corrupt_gallery(terminal: Terminal) -> Iterator[None]:
    """Templates that cannot be decrypted, written as by an enrollment."""
    with closing(sqlite3.connect(terminal.config.gallery_path, isolation_level=None)) as other:
        sealed = other.execute("SELECT sealed, id FROM templates").fetchall()
        other.execute("UPDATE templates SET sealed = randomblob(length(sealed))")
        yield
        other.executemany("UPDATE templates SET sealed = ? WHERE id = ?", sealed)


@contextmanager
def busy(terminal: Terminal) -> Iterator[None]:
    """Keep each core busy with two processes."""
    burning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


FAULTS = (
    Fault("none", nothing),
    Fault("recogniser: kill -9", signalled("daemon", signal.SIGKILL)),
    Fault("recogniser: SIGSTOP", signalled("daemon", signal.SIGSTOP), 15.0),
    Fault("door: kill -9", signalled("door", signal.SIGKILL)),
    Fault("door: SIGSTOP", signalled("door", signal.SIGSTOP), 5.0),
    Fault("door: SIGTERM", signalled("door", signal.SIGTERM)),
    Fault("camera hangs", with_file("camera"), 20.0),
    Fault("engine raises", with_file("engine"), 5.0),
    Fault("disk full", full_disk, 5.0),
    Fault("disk full, then door: kill -9", full_disk_and_killed_door, 5.0),
    Fault("clock + 1 h", with_file("clock", "3600"), 5.0),
    Fault("clock - 1 h", with_file("clock", "-3600"), 5.0),
    Fault("gallery locked", locked_gallery, 5.0),
    Fault("gallery corrupt", corrupt_gallery, 5.0),
    Fault("all cores busy, twice over", busy, 10.0),
)
