"""Provisioning of an audit log: verification key and first writer state."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from edge.audit import writer_state
from edge.audit.chain import KEY_BYTES
from edge.audit.segments import list_segments
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import VerificationKey, WriterState
from edge.errors import RecordError
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import make_folder, open_regular
from edge.system.text import format_count


def provision_log(folder: Path, key_path: Path) -> str:
    """Make the missing key and state of a log; return what was done. Raises RecordError.

    A verification key that the writer made itself is moved to `key_path`. The writer never has a
    key older than its state.
    """
    next_to_log = writer_state.default_key_path(folder)
    try:
        if key_path == next_to_log:
            with acting_as_owner(folder):
                return _provision_next_to_log(folder, next_to_log)
        return _provision_apart(folder, key_path, next_to_log)
    except OSError as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(
            f"{error.filename or folder}: {error.strerror}; run this as root or as the owner of "
            "the log"
        ) from error


def _provision_apart(folder: Path, key_path: Path, next_to_log: Path) -> str:
    """Make or move the key to a file that the writer cannot read. Raises OSError."""
    kept = writer_state.read_keys(key_path)
    with acting_as_owner(folder):
        own = writer_state.read_keys(next_to_log)
        is_new = writer_state.read_state(folder) is None and not list_segments(folder)
    make_folder(key_path.parent, 0o700)
    if moved := [key for key in own if key not in kept]:
        writer_state.write_keys(key_path, [*kept, *moved])
    if own:
        with acting_as_owner(folder):
            _wipe(next_to_log)
        moved_keys = format_count(len(own), "verification key")
        return f"{key_path}: {moved_keys} made by the process moved there"
    if is_new:
        _make_first(folder, key_path, kept)
        return f"{key_path}: made"
    if not kept:
        raise RecordError(
            f"{key_path}: the log in {folder} has no verification key: restore it from your "
            f"backup; or stop the service, remove {folder / writer_state.STATE}, start the "
            "service and run this again: records up to now stay without a key"
        )
    return f"{key_path}: exists"


def _make_first(folder: Path, key_path: Path, kept: list[VerificationKey]) -> None:
    """Write the first key and the state of an empty log. Raises OSError."""
    first = VerificationKey(1, secrets.token_bytes(KEY_BYTES))
    if kept and kept[0].first_id == 1:
        first = kept[0]
    if not kept:
        writer_state.write_keys(key_path, [first])
    with acting_as_owner(folder):
        make_folder(folder, 0o750)
        writer_state.write_state(folder, WriterState(1, first.key))


def _provision_next_to_log(folder: Path, key_path: Path) -> str:
    """Let the writer make its key in a new log. Raises OSError."""
    if writer_state.read_state(folder) is None and not list_segments(folder):
        AuditLogWriter(folder).close()
        return f"{key_path}: made"
    if key_path.exists():
        return f"{key_path}: exists"
    return f"{key_path}: missing; only the chain of {folder} can be checked"


def _wipe(path: Path) -> None:
    """Overwrite a key file, then remove it. Raises OSError."""
    fd = open_regular(path, os.O_WRONLY)
    try:
        os.pwrite(fd, b"\0" * os.fstat(fd).st_size, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    path.unlink()
