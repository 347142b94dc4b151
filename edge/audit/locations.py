"""Locations of a terminal's audit logs and of their verification keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.audit.reader import read_records
from edge.audit.report import VerificationReport
from edge.audit.segments import list_segments
from edge.audit.verify import ExpectedRecord, verify_log
from edge.audit.writer_state import VerificationKey, default_key_path, read_keys, read_state
from edge.config import CONSOLE_LOG, DECISIONS, DOOR_LOG, DOORS, INSTANCES, PICTURES, TerminalConfig
from edge.errors import RecordError
from edge.system.accounts import acting_as_owner

KEYS_NEXT_TO_LOGS = (
    "the keys that verify the audit logs are next to them, so an account that writes both can "
    "forge the logs"
)
SET_KEYS = (
    "set `record.verification_key_dir` to a folder for root alone, such as /etc/mfsa-edge/audit, "
    "and run edge-audit init as root"
)


@dataclass(frozen=True, slots=True)
class LogLocation:
    """Location of a log, or of a copy."""

    name: str
    folder: Path
    key_path: Path
    log_id: str  # terminal/log; empty if unknown
    pictures: Path | None = None  # folder of the evidence pictures of its decisions

    def verification_keys(self) -> tuple[list[VerificationKey], int]:
        """Return the keys, and how many of them are kept apart from the log. Raises RecordError."""
        next_to_log = default_key_path(self.folder)
        kept = _read_keys(self.key_path)
        if self.key_path == next_to_log:
            return kept, 0
        return [*kept, *_read_keys(next_to_log)], len(kept)

    def verify(
        self,
        expected: ExpectedRecord | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> VerificationReport:
        """Verify the log. Raises OSError, RecordError for an invalid key file."""
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
    """Return the logs of a recogniser, its door and the console, or one by name.

    That of the console is left out if there is none, or if this account has no access to it.
    """
    folders = {DECISIONS: config.decisions_path, DOOR_LOG: config.door_record_path}
    if only == CONSOLE_LOG or os.access(config.console_folder, os.R_OK | os.X_OK):
        folders[CONSOLE_LOG] = config.console_record_path
    return [
        LogLocation(name, folder, config.record_key_path(folder), config.log_id(folder))
        for name, folder in folders.items()
        if only in (None, name)
    ]


def all_log_locations(config: TerminalConfig) -> list[LogLocation]:
    """Return the logs of all recognisers and doors of a terminal, named apart.

    Those that do not run any more are included. Raises RecordError if a folder cannot be listed.
    """
    owners = [
        (config.state, INSTANCES, DECISIONS, config.recogniser_folder),
        (config.door_state, DOORS, DOOR_LOG, config.door_folder),
    ]
    found = []
    for shared, parts, log, own in owners:
        parents = dict.fromkeys([shared, *_list_folders(shared / parts), own])
        folders = [parent / log for parent in parents if parent == own or (parent / log).exists()]
        for folder in folders:
            pictures = folder.parent / PICTURES if log == DECISIONS else None
            key, name = config.record_key_path(folder), config.log_name(folder)
            found.append(LogLocation(name, folder, key, config.log_id(folder), pictures))
    if config.console_record_path.exists():
        found += log_locations(config, CONSOLE_LOG)
    return found


def _list_folders(path: Path) -> list[Path]:
    try:
        with acting_as_owner(path):
            return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be listed: {error.strerror}; run this as root: the logs of other "
            "recognisers and doors are in it"
        ) from error


def copied_log(folder: Path, key_path: Path | None) -> LogLocation:
    """Return a log or a copy of it; its id is the one it states. Raises RecordError, OSError."""
    log_id = next((str(record["of"]) for record in read_records(folder) if record.get("of")), "")
    if not list_segments(folder):
        raise RecordError(
            f"{folder}: expected an audit log, a folder of files such as 000000001.log, found none"
        )
    if key_path is not None and not key_path.is_file():
        raise RecordError(
            f"{key_path}: no such file; name the verification keys that edge-audit init made, "
            "or omit --key"
        )
    return LogLocation(folder.name, folder, key_path or default_key_path(folder), log_id)


def _read_keys(path: Path) -> list[VerificationKey]:
    """Return the keys; empty if this account may not read them."""
    try:
        return read_keys(path)
    except RecordError as error:
        if isinstance(error.__cause__, PermissionError):
            return []
        raise
