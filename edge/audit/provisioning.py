"""First key and first state of a record, made so that its writer never holds a key older than the present one."""

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
from edge.system.text import count


def provision_log(folder: Path, key_path: Path) -> str:
    """Make the missing key and state of a log; return what was done. Raises RecordError.

    A verification key that the writer made itself is moved to `key_path`.
    """
    beside = writer_state.default_key_path(folder)
    try:
        if key_path == beside:
            with acting_as_owner(folder):
                return _prepare_beside(folder, beside)
        kept = writer_state.read_keys(key_path)
        with acting_as_owner(folder):
            own, state_is_there, empty = (
                writer_state.read_keys(beside),
                writer_state.read_state(folder) is not None,
                not list_segments(folder),
            )
        make_folder(key_path.parent, 0o700)
        if moved := [key for key in own if key not in kept]:
            writer_state.write_keys(key_path, [*kept, *moved])
        if own:
            with acting_as_owner(folder):
                _wipe(beside)
            return (
                f"{key_path}: {count(len(own), 'verification key')} made by the process moved there"
            )
        if not state_is_there and empty:
            first = (
                kept[0]
                if kept and kept[0].first_id == 1
                else VerificationKey(1, secrets.token_bytes(KEY_BYTES))
            )
            if not kept:
                writer_state.write_keys(key_path, [first])
            with acting_as_owner(folder):
                make_folder(folder, 0o750)
                writer_state.write_state(folder, WriterState(1, first.key))
            return f"{key_path}: made"
    except OSError as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(
            f"{error.filename or folder}: {error.strerror}; run this as root, or as who owns the record"
        ) from error
    if not kept:
        raise RecordError(
            f"{key_path}: the log in {folder} has no verification key: restore it from your backup, or "
            "stop the service, "
            f"remove {folder / writer_state.STATE}, start it and run this again: what is there by now stays without a key"
        )
    return f"{key_path}: is there"


def _prepare_beside(folder: Path, beside: Path) -> str:
    if writer_state.read_state(folder) is not None or list_segments(folder):
        return (
            f"{beside}: is there"
            if beside.exists()
            else f"{beside}: missing; only the chain of {folder} can be checked"
        )
    AuditLogWriter(folder).close()
    return f"{beside}: made"


def _wipe(path: Path) -> None:
    fd = open_regular(path, os.O_WRONLY)
    try:
        os.pwrite(fd, b"\0" * os.fstat(fd).st_size, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    path.unlink()
