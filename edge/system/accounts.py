"""Work of root with the rights of a folder's owner, so that links in it give no more rights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def acting_as_owner(folder: Path) -> Iterator[None]:
    """Use the effective account of a folder's owner in a block; no change unless run by root.

    A folder that does not exist yet counts as owned by the owner of the one above. Raises OSError.
    """
    owner = next(place for place in (folder, *folder.absolute().parents) if place.exists()).stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
