"""The two records of a terminal: where they lie, where their verification keys do, and whether they are whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.audit.reader import read_records
from edge.audit.segments import list_segments
from edge.audit.verify import ExpectedRecord, VerificationReport, verify_log
from edge.audit.writer_state import VerificationKey, default_key_path, read_keys, read_state
from edge.config import TerminalConfig
from edge.errors import RecordError

KEYS_NEXT_TO_LOGS = (
    "the keys that verify the audit logs are next to them, so an account that writes both can "
    "forge the logs"
)
SET_KEYS = (
    "set `record.verification_key_dir` to a folder for root alone, such as /etc/mfsa-edge/audit, and run "
    "edge-audit init as root"
)


@dataclass(frozen=True, slots=True)
class LogLocation:
    """One of the two, or a copy."""

    name: str
    folder: Path
    key_path: Path
    log_id: str  # terminal and record; empty where nobody knows

    def verification_keys(self) -> tuple[list[VerificationKey], int]:
        """With which its chains began, and how many of them are kept apart from it. Raises RecordError."""
        beside = default_key_path(self.folder)
        kept = _keys_at(self.key_path)
        return (kept, 0) if self.key_path == beside else ([*kept, *_keys_at(beside)], len(kept))

    def verify(
        self,
        expected: ExpectedRecord | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> VerificationReport:
        """Raises OSError, and RecordError where a key file is none."""
        keys, trusted = self.verification_keys()
        state = read_state(self.folder)
        return verify_log(
            self.folder,
            keys,
            log_id=self.log_id or None,
            expected=expected,
            state=state,
            trusted=trusted,
            progress=progress,
        )


def log_locations(config: TerminalConfig, only: str | None = None) -> list[LogLocation]:
    folders = {"decisions": config.decisions_path, "door": config.door_record_path}
    return [
        LogLocation(name, folder, config.record_key_path(folder), f"{config.terminal}/{name}")
        for name, folder in folders.items()
        if only in (None, name)
    ]


def copied_log(folder: Path, key_path: Path | None) -> LogLocation:
    """A record, or a copy of it, that is what it says that it is. Raises RecordError, OSError."""
    said = next((str(record["of"]) for record in read_records(folder) if record.get("of")), "")
    if not list_segments(folder):
        raise RecordError(
            f"{folder}: expected a record, a folder of files such as 000000001.log, found none"
        )
    if key_path is not None and not key_path.is_file():
        raise RecordError(
            f"{key_path}: no such file; name the verification keys that edge-audit init made, or none"
        )
    return LogLocation(folder.name, folder, key_path or default_key_path(folder), said)


def _keys_at(path: Path) -> list[VerificationKey]:
    """None where this account may not look: the chain can be checked without."""
    try:
        return read_keys(path)
    except RecordError as error:
        if isinstance(error.__cause__, PermissionError):
            return []
        raise
