"""Audit log of the console: who did what."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.kinds import RecordKind
from edge.audit.retention import Retention
from edge.audit.writer import AuditLogWriter
from edge.config import TerminalConfig
from edge.console.accounts.database import AccountDatabase
from edge.console.events import ConsoleEvent
from edge.errors import RecordError

_WAIT_S = 5.0  # for the disk; an action without a record is refused
_REFUSALS_S = 1.0  # one record in this time; others are counted


class ConsoleAuditLog:
    """Writes records from any thread."""

    def __init__(self, writer: AsyncLogWriter, clock: Callable[[], float] = time.monotonic) -> None:
        self._writer, self._clock = writer, clock
        self._refused_at = float("-inf")
        self._left_out = 0

    def append(self, event: ConsoleEvent, user: str, **fields: Any) -> None:
        """Write a record before its action; raises RecordError if it is not on disk."""
        self._write({"kind": RecordKind.CONSOLE, "event": event, "user": user, **fields})

    def append_refusal(self, event: ConsoleEvent, user: str, **fields: Any) -> None:
        """Queue the record of a refused request, at most one in a second."""
        now = self._clock()
        if now - self._refused_at < _REFUSALS_S:
            self._left_out += 1
            return
        counted = {"left_out": self._left_out} if self._left_out else {}
        self._refused_at, self._left_out = now, 0
        record = {"kind": RecordKind.CONSOLE, "event": event, "user": user, **fields, **counted}
        self._writer.submit(record)

    def write_pending(self, database: AccountDatabase) -> None:
        """Write the records that commands have left in the database; raises RecordError."""
        for row in database.rows("SELECT id, fields FROM records ORDER BY id"):
            self._write(json.loads(row["fields"]))
            database.change("DELETE FROM records WHERE id = ?", row["id"])

    def close(self) -> None:
        self._writer.close()

    def _write(self, fields: dict[str, Any]) -> None:
        job = self._writer.submit(fields)
        if not job.done.wait(_WAIT_S):
            raise RecordError("the disk does not take the record of this action; try again later")
        if job.error is not None:
            raise job.error


def leave_record(
    database: AccountDatabase, event: ConsoleEvent, operator: str, **fields: Any
) -> None:
    """Leave a record of a command for the console, which writes its log alone."""
    record = {"kind": RecordKind.CONSOLE, "event": event, "operator": operator, **fields}
    database.change("INSERT INTO records (fields) VALUES (?)", json.dumps(record))


def open_audit_log(config: TerminalConfig) -> ConsoleAuditLog:
    """Open the audit log; its folder is made with the first record."""
    path = config.console_record_path
    writer = AsyncLogWriter(lambda: AuditLogWriter(path, log_id=config.log_id(path)))
    writer.update_retention(
        Retention(config.record.delete_after_days, config.record.redact_after_days)
    )
    return ConsoleAuditLog(writer)
