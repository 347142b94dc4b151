"""Errors that a user can cause or meet, in one tree. Any other exception is a defect.

    MfsaError
    ├── ConfigError          a configuration file or an option is wrong
    ├── BundleError          a model bundle is incomplete, changed or of another kind
    ├── CameraError          no frames: the camera is missing, lost or not readable
    ├── EngineError          a network cannot be loaded or run here
    ├── PhotoError           a photo or person cannot be enrolled, with a reason code
    ├── GalleryError         the gallery cannot be opened, read or written
    ├── DoorError            the door process cannot be reached, or its hardware fails
    ├── RecogniserError      the recogniser process cannot be reached
    ├── RecordError          the audit log cannot be written
    ├── AccountError         a user, session or token of the console is refused, or not readable
    ├── LockFileError        a lock file cannot be opened
    └── AlreadyRunningError  another process uses this terminal

A message has the form: what failed: why; what to do. It contains the value that was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://((?:[^'\"<>\n]*@)?[^\s'\"<>]*)")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]+)?")
# Account of an address that a typing error has split.
_ACCOUNT = re.compile(r"[^\s:'\"]*:[^\s'\"]+@")
_SECRET = re.compile(
    r"\b([\w-]*(?:user|pass|pwd|pw|token|secret|key|auth|credential|session)[\w-]*\s*=\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s,;&'\"]+)",
    re.IGNORECASE,
)
_HIDDEN = "***"


class MfsaError(Exception):
    """Base of all errors; commands print it without a traceback and exit with 1."""


class ConfigError(MfsaError, ValueError):
    """A configuration or recipe is wrong; commands exit with 2."""


class BundleError(MfsaError):
    """A model bundle must not be used."""


class CameraError(MfsaError, OSError):
    """The camera delivers no frames."""


class EngineError(MfsaError, RuntimeError):
    """A network cannot be loaded or run."""


class PhotoError(MfsaError, ValueError):
    """A photo, or all photos of a person, cannot be used.

    `reason` is a stable code such as `no-face`; `components` are the measured values, 0 to 100.
    """

    def __init__(
        self, reason: str, message: str, components: Mapping[str, float] | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.components: Mapping[str, float] = components or {}


class GalleryError(MfsaError):
    """The gallery cannot be opened, read or written."""


class DoorError(MfsaError, OSError):
    """The door process cannot be reached, or its hardware fails."""


class RecogniserError(MfsaError, OSError):
    """The recogniser process cannot be reached, or gives an unknown answer."""


class RecordError(MfsaError, OSError):
    """The audit log of decisions or door events cannot be written."""


class AccountError(MfsaError):
    """A user, session or token of the console is refused, or cannot be read or written."""


class LockFileError(MfsaError, OSError):
    """A lock file cannot be opened: it is unknown whether another process runs."""


class AlreadyRunningError(MfsaError):
    """Another process uses this terminal."""


def describe_source(source: int | str) -> str:
    """Describe a camera's source without account, password, path and query; all can be secret."""
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
