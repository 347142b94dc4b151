"""Names of files that operating systems leave in folders of pictures."""

from __future__ import annotations

# Of macOS archives, Windows Explorer and Synology NAS systems.
_NAMES = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"})


def is_leftover(path: str) -> bool:
    """Return True if a path with `/` is, or is in, a system's leftover such as `._photo.jpg`."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return any(part.startswith(".") or part.lower() in _NAMES for part in parts)
