"""Taking back what a stop, or a lost power, left of a record that was never acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

from edge.audit.segments import TAIL_BYTES, find_unacknowledged, first_record_id, list_segments
from edge.system.atomic_files import open_regular


def mend(folder: Path, durable: int) -> None:
    """Cut the newest file off where its `unacknowledged_from` says. Raises OSError."""
    paths = list_segments(folder)
    if not paths:
        return
    fd = open_regular(paths[-1], os.O_RDWR)
    try:
        size = os.fstat(fd).st_size
        start = max(0, size - TAIL_BYTES)
        cut = find_unacknowledged(
            os.pread(fd, size - start, start),
            first_record_id(paths[-1]),
            durable,
            partial=start > 0,
        )
        if cut is not None:
            os.ftruncate(fd, start + cut)
            os.fsync(fd)
    finally:
        os.close(fd)
