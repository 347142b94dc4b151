"""Controls: victims with code broken on purpose, whose problems the checks must report.

The checks themselves run the real code.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.audit import retention, writer
from edge.audit.writer import AuditLogWriter
from edge.config import TerminalConfig
from edge.gallery import key_rotation
from edge.gallery.database import Database
from edge.system import atomic_files
from tests.durability import people
from tests.durability.steps import Actor, CrashState, Step, Victim
from tests.durability.victims import VICTIMS


@dataclass(frozen=True)
class Control:
    """Victim whose process breaks code before its steps.

    It never shares a process with the checks.
    """

    name: str
    victim: Victim
    break_code: Callable[[], None]
    by_kill: bool = False  # True if kill -9 is enough to cause a problem
    rounds: int = 0  # after these a problem is certain; 0: only by chance

    @property
    def before(self) -> Sequence[Step]:
        return self.victim.before

    def prepare(self, folder: Path) -> None:
        self.victim.prepare(folder)

    def script(self, rng: random.Random, count: int) -> list[Step]:
        return self.victim.script(rng, count)

    def open(self, folder: Path) -> Actor:
        self.break_code()
        return self.victim.open(folder)

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        return self.victim.problems(folder, left)


def synchronous(level: str) -> Callable[[], None]:
    """Return a function that makes SQLite use another synchronous level than the gallery sets."""

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            return super().execute(
                f"PRAGMA synchronous={level}" if "synchronous" in statement else statement,
                *arguments,
            )

    connect = sqlite3.connect

    def break_code() -> None:
        sqlite3.connect = lambda *arguments, **options: connect(
            *arguments, factory=Connection, **options
        )

    return break_code


def _no_fsync() -> None:
    os.fsync = os.fdatasync = lambda _: None


def _each_statement_by_itself() -> None:
    @contextmanager
    def transaction(self: Database) -> Iterator[None]:
        yield

    Database.transaction = transaction  # type: ignore[method-assign]


def _committed_by_the_next_one() -> None:
    @contextmanager
    def transaction(self: Database) -> Iterator[None]:
        if self.db.in_transaction:
            self.db.execute("COMMIT")
        self.db.execute("BEGIN IMMEDIATE")
        yield

    def close(self: Database) -> None:
        self.db.commit()
        self.db.close()

    Database.transaction, Database.close = transaction, close  # type: ignore[method-assign]
    _not_looked_for()


def _not_looked_for() -> None:
    Database.assert_erased = lambda self, gone: None  # type: ignore[method-assign]


def _written_by_the_next_ones() -> None:
    write, waiting = AuditLogWriter._write, []

    def late(self: AuditLogWriter, line: bytes, durable: bool) -> None:
        waiting.append(line)
        if len(waiting) == 3:
            write(self, b"".join(waiting), durable)
            waiting.clear()

    AuditLogWriter._write = late  # type: ignore[method-assign]


def _in_halves() -> None:
    write = AuditLogWriter._write

    def halves(self: AuditLogWriter, line: bytes, durable: bool) -> None:
        middle = len(line) // 2
        record = line.rstrip(b"\n")
        os.write(self._fd, record[:middle] + b"\n")
        write(self, record[middle:] + b"\n", durable)

    AuditLogWriter._write = halves  # type: ignore[method-assign]


def _names_not_synced() -> None:
    atomic_files.sync_folder = writer.sync_folder = lambda _: None


def _half_way_on_disk() -> None:
    """Record that names are blanked before they are on disk."""
    retention._sync = lambda *_: None


def _key_first() -> None:
    """Replace the key before the gallery is encrypted with the new one."""

    def rotate(config: TerminalConfig) -> None:
        key, fresh = key_rotation.read_key(config.key_path), random.randbytes(32)
        config.key_path.write_bytes(fresh)
        key_rotation.reencrypt_gallery(config.gallery_path, config.terminal, key, fresh)

    people.rotate_key = rotate  # type: ignore[assignment]


CONTROLS = (
    Control("enrollment, synchronous=OFF", VICTIMS["enrollment"], synchronous("OFF")),
    Control("enrollment, synchronous=NORMAL", VICTIMS["enrollment"], synchronous("NORMAL")),
    Control("removal, synchronous=OFF", VICTIMS["removal"], synchronous("OFF")),
    Control("records, fsync does nothing", VICTIMS["records"], _no_fsync),
    Control("first records, names are not synced", VICTIMS["first records"], _names_not_synced),
    Control("retention, blanking is not synced", VICTIMS["retention"], _half_way_on_disk),
    Control("door's states, fsync does nothing", VICTIMS["door's states"], _no_fsync),
    Control("first enrollment, fsync does nothing", VICTIMS["first enrollment"], _no_fsync),
    Control("key rotation, fsync does nothing", VICTIMS["key rotation"], _no_fsync),
    Control(
        "enrollment, each statement by itself",
        VICTIMS["enrollment"],
        _each_statement_by_itself,
        by_kill=True,
    ),
    Control(
        "enrollment, committed by the next one",
        VICTIMS["enrollment"],
        _committed_by_the_next_one,
        by_kill=True,
        rounds=10,
    ),
    Control(
        "removal, each statement by itself",
        VICTIMS["removal"],
        _each_statement_by_itself,
        by_kill=True,
    ),
    Control(
        "removal, not looked for", VICTIMS["removal"], _not_looked_for, by_kill=True, rounds=10
    ),
    Control(
        "records, written by the next ones",
        VICTIMS["records"],
        _written_by_the_next_ones,
        by_kill=True,
        rounds=12,
    ),
    Control("records, in halves", VICTIMS["records"], _in_halves, by_kill=True, rounds=20),
    Control(
        "key rotation, key first", VICTIMS["key rotation"], _key_first, by_kill=True, rounds=40
    ),
)


def find(name: str) -> Victim:
    """Return the victim or control of a name."""
    return VICTIMS.get(name) or next(control for control in CONTROLS if control.name == name)
