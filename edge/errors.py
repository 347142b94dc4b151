"""Every error a user can cause or meet, in one tree; anything else is a defect.

    MfsaError
    ├── ConfigError      a file or option that people write is wrong
    ├── BundleError      a model bundle is incomplete, changed or of another kind
    ├── CameraError      no frames: missing, lost, or not readable
    ├── EngineError      a network cannot be loaded or run here
    ├── PhotoError       a photo or person that cannot be enrolled, with a reason code
    ├── GalleryError     the gallery cannot be opened, read or written
    ├── DoorError        the door process cannot be reached, or hardware refuses
    ├── RecordError      the record cannot be written
    ├── LockFileError       a lock file that a process needs cannot be opened
    └── AlreadyRunningError       another process has this terminal already

A message says what was expected, what was found and what to do, in one sentence or two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://((?:[^'\"<>\n]*@)?[^\s'\"<>]*)")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]+)?")
# For an address that a mistake has cut into pieces.
_ACCOUNT = re.compile(r"[^\s:'\"]*:[^\s'\"]+@")
_SECRET = re.compile(
    r"\b([\w-]*(?:user|pass|pwd|pw|token|secret|key|auth|credential|session)[\w-]*\s*=\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&'\"]+)",
    re.IGNORECASE,
)
_HIDDEN = "***"


class MfsaError(Exception):
    """Base of all; commands print it without a traceback and exit with 1."""


class ConfigError(MfsaError, ValueError):
    """Wrong configuration or recipe; commands exit with 2."""


class BundleError(MfsaError):
    """A model bundle that must not be used."""


class CameraError(MfsaError, OSError):
    """No frames from the camera."""


class EngineError(MfsaError, RuntimeError):
    """A network that cannot be loaded or run."""


class PhotoError(MfsaError, ValueError):
    """A photo, or all of a person, that cannot be used; `reason` is a stable code such as `no-face`, `components` what was
    measured, 0 to 100."""

    def __init__(
        self, reason: str, message: str, components: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.components: Mapping[str, float] = components or {}


class GalleryError(MfsaError):
    """The gallery cannot be opened, read or written."""


class DoorError(MfsaError, OSError):
    """The door process cannot be reached, or its hardware refuses."""


class RecordError(MfsaError, OSError):
    """The record of decisions or door events cannot be written."""


class LockFileError(MfsaError, OSError):
    """A lock file cannot be opened: nobody can tell whether another process is at work."""


class AlreadyRunningError(MfsaError):
    """Another process has this terminal already."""


def describe_source(source: int | str) -> str:
    """Describe a camera's source without account, password, path and query: all can be secret."""
    text = str(source)
    if "!" in text:
        element = re.match(r"\s*([A-Za-z][\w-]*)", text)
        return f"pipeline of {element[1]}" if element else "pipeline"
    scheme, found, rest = text.partition("://")
    return f"{scheme}://{_host(rest)}" if found else without_credentials(text)


def without_credentials(text: str) -> str:
    """Remove accounts, passwords, paths and queries of addresses, and values of secret options."""
    text = _ADDRESS.sub(lambda found: f"{found[1]}://{_host(found[2])}", text)
    return _ACCOUNT.sub("", _SECRET.sub(rf"\1{_HIDDEN}", text))


def _host(rest: str) -> str:
    """Return host and port of an address after its scheme, or asterisks if that is ambiguous."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    account, _, host = authority.rpartition("@")
    ambiguous = not account and "@" in rest  # a password with a slash in it
    return host if _HOST.fullmatch(host) and not ambiguous else _HIDDEN
