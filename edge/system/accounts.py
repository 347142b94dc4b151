"""Accounts: names and numbers, and work with the rights of a folder's owner."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator, Sequence
from pathlib import Path

# Made by systemd/mfsa-edge.sysusers.
RECOGNISER_ACCOUNT, CONSOLE_ACCOUNT = "mfsa-edge", "mfsa-console"
_LOGIN_UIDS = range(1000, 60000)
_LISTED_MAX = 8


def account_name(uid: int) -> str:
    """Return the name of an account, its number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError, OverflowError):
        return str(uid)


def account_uid(name: str) -> int | None:
    """Return the user id of an account, None if there is no such account or it is not readable."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, OSError, ValueError):  # ValueError: a name that no account can have
        return None


def list_login_accounts() -> list[str]:
    """Return names of accounts of people on this machine, at most 8."""
    names = [one.pw_name for one in pwd.getpwall() if one.pw_uid in _LOGIN_UIDS]
    return sorted(names)[:_LISTED_MAX]


@contextlib.contextmanager
def acting_as_owner(path: Path, groups: Sequence[int] | None = None) -> Iterator[None]:
    """Use the effective account of a folder's or file's owner in a block, if this is root.

    Links in the folder give root no more rights than the owner has. A folder that does not exist
    yet counts as owned by the owner of the one above. `groups`: those of the account in the block;
    None: the group of the folder or file. Raises OSError.
    """
    owner = next(place for place in (path, *path.absolute().parents) if place.exists()).stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    before = os.getgroups()
    os.setgroups([owner.st_gid] if groups is None else groups)
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)
