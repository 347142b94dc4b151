"""Settings of the console process, from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config import TerminalConfig
from edge.errors import ConfigError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """Addresses, files and time limits of the console."""

    host: str
    port: int
    kiosk_port: int | None
    folder: Path
    names: tuple[str, ...]
    certificate: tuple[Path, Path] | None  # PEM files of certificate and key; None: its own
    idle_s: float
    session_s: float


def build_settings(config: TerminalConfig) -> ConsoleSettings:
    """Return the settings; raises ConfigError."""
    section = config.console
    host, _, port = section.listen.rpartition(":")
    if not 0 < int(port) < 65536:
        raise ConfigError(f"console.listen: expected a port from 1 to 65535, found {port}")
    files = section.certificate, section.certificate_key
    if (files[0] is None) != (files[1] is None):
        raise ConfigError(
            "console: expected both `certificate` and `certificate_key`, or neither of them"
        )
    return ConsoleSettings(
        host=host.strip("[]"),
        port=int(port),
        kiosk_port=section.kiosk_port,
        folder=config.console_folder,
        names=section.names,
        certificate=(files[0], files[1]) if files[0] and files[1] else None,
        idle_s=section.idle_min * 60.0,
        session_s=section.session_h * 3600.0,
    )
